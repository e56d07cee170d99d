"""Which family is graded how: the names that the original's suite and the grading cases use.

Only names are known here; the rules are in `choice` and `number`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Protocol

from ochat_eval.errors import FamilyError
from ochat_eval.graders.choice import grade_choice
from ochat_eval.graders.number import grade_number
from ochat_eval.verdict import Verdict


class Grader(Protocol):
    """What all graders have in common."""

    def __call__(
        self,
        response: str,
        label: str | Sequence[str],
        options: Sequence[str] = (),
        *,
        finish_reason: str | None = None,
    ) -> Verdict:
        """Grade one response; see `grade`."""
        ...


_GRADERS: Mapping[str, Grader] = {
    "agieval": grade_choice,
    "bbh_zs": grade_choice,
    "choice": grade_choice,
    "gpqa": grade_choice,
    "gsm8k": grade_number,
    "mmlu": grade_choice,
    "number": grade_number,
    "truthfulqa": grade_choice,
}
_NOT_YET = frozenset({"bbh_cot", "humaneval", "math", "mtbench_judge", "pairwise_judge"})


def family_names() -> tuple[str, ...]:
    """The families that this version grades, sorted."""
    return tuple(sorted(_GRADERS))


def require_family(family: str) -> Grader:
    """The grader of a family.

    Raises:
        FamilyError: The family is unknown, or not gradable in this version.
    """
    if grader := _GRADERS.get(family):
        return grader
    available = ", ".join(family_names())
    if family in _NOT_YET:
        raise FamilyError(
            f"the grader of {family!r} is not available yet in this version: use one of {available}"
        )
    near = difflib.get_close_matches(family, [*_GRADERS, *_NOT_YET], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise FamilyError(f"there is no family {family!r}{hint}: use one of {available}")


def grade(
    family: str,
    response: str,
    label: str | Sequence[str],
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
) -> Verdict:
    """Grade one response by its family's rules; a pure function.

    Args:
        family: One of `family_names()`.
        response: What the model wrote, unchanged.
        label: The right answer, or several that all count.
        options: Texts or letters of a multiple-choice question, in order.
        finish_reason: The server's reason, which tells a truncated response from an unparsed one.

    Raises:
        FamilyError: No such family in this version.
        GradingError: The label could never be met, whatever the response.
    """
    return require_family(family)(response, label, options, finish_reason=finish_reason)
