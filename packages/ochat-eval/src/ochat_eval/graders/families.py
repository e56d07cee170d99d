"""Which family is graded how: the names that the original's suite and the grading cases use.

Only names are known here; the rules are in `choice`, `number`, `text`, `mathematics` and `code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ochat_eval.errors import FamilyError
from ochat_eval.graders.choice import grade_choice
from ochat_eval.graders.judgements import grade_pairwise, grade_rating
from ochat_eval.graders.number import grade_number
from ochat_eval.graders.text import grade_text
from ochat_eval.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a response is graded against.

    Attributes:
        labels: Every right answer.
        options: Texts or letters of a multiple-choice question, in order.
        context: What else a family needs, such as the tests of a program.
    """

    labels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    context: Mapping[str, object] = field(default_factory=dict)


class Grader(Protocol):
    """What all graders have in common."""

    def __call__(
        self, response: str, reference: Reference, *, finish_reason: str | None, allow_code: bool
    ) -> Verdict:
        """Grade one response; see `grade`."""
        ...


class _AnswerGrader(Protocol):
    def __call__(
        self,
        response: str,
        label: str | Sequence[str],
        options: Sequence[str] = (),
        *,
        finish_reason: str | None = None,
    ) -> Verdict: ...


def _by_answer(grader: _AnswerGrader) -> Grader:
    def graded(
        response: str,
        reference: Reference,
        *,
        finish_reason: str | None,
        allow_code: bool,  # noqa: ARG001 - for programs only
    ) -> Verdict:
        return grader(response, reference.labels, reference.options, finish_reason=finish_reason)

    return graded


def _mathematics(
    response: str,
    reference: Reference,
    *,
    finish_reason: str | None,
    allow_code: bool,  # noqa: ARG001 - for programs only
) -> Verdict:
    from ochat_eval.graders.mathematics import grade_math

    return grade_math(response, reference.labels, finish_reason=finish_reason)


def _program(
    response: str, reference: Reference, *, finish_reason: str | None, allow_code: bool
) -> Verdict:
    from ochat_eval.graders.code import grade_code

    return grade_code(
        response, reference.context, finish_reason=finish_reason, allow_code=allow_code
    )


_CHOICE, _NUMBER, _TEXT = map(_by_answer, (grade_choice, grade_number, grade_text))
_GRADERS: Mapping[str, Grader] = {
    "agieval": _CHOICE,
    "bbh_cot": _TEXT,
    "bbh_zs": _CHOICE,
    "choice": _CHOICE,
    "gpqa": _CHOICE,
    "gsm8k": _NUMBER,
    "humaneval": _program,
    "math": _mathematics,
    "mmlu": _CHOICE,
    "mtbench_judge": _by_answer(grade_rating),
    "number": _NUMBER,
    "pairwise_judge": _by_answer(grade_pairwise),
    "text": _TEXT,
    "truthfulqa": _CHOICE,
}
# Graded by other processes: milliseconds to seconds each, so not between two requests.
SLOW_FAMILIES = frozenset({"humaneval", "math"})
CODE_FAMILIES = frozenset({"humaneval"})
JUDGE_FAMILIES = frozenset({"mtbench_judge", "pairwise_judge"})


def family_names() -> tuple[str, ...]:
    """The families that this version grades, sorted."""
    return tuple(sorted(_GRADERS))


def require_family(family: str) -> Grader:
    """The grader of a family.

    Raises:
        FamilyError: The family is unknown.
    """
    if grader := _GRADERS.get(family):
        return grader
    near = difflib.get_close_matches(family, _GRADERS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise FamilyError(
        f"there is no family {family!r}{hint}: use one of {', '.join(family_names())}"
    )


def grade(
    family: str,
    response: str,
    label: str | Sequence[str],
    options: Sequence[str] = (),
    *,
    context: Mapping[str, object] | None = None,
    finish_reason: str | None = None,
    allow_code: bool = False,
) -> Verdict:
    """Grade one response by its family's rules.

    Args:
        family: One of `family_names()`.
        response: What the model wrote, unchanged.
        label: The right answer, or several that all count.
        options: Texts or letters of a multiple-choice question, in order.
        context: What else the family needs: of a program `prompt`, `test` and `entry_point`.
        finish_reason: The server's reason, which tells a truncated response from an unparsed one.
        allow_code: Whether programs of the model may run on this machine.

    Raises:
        FamilyError: No such family in this version.
        GradingError: The label could never be met, whatever the response, or what grading needs
            is missing.
    """
    labels = (label,) if isinstance(label, str) else tuple(label)
    reference = Reference(labels=labels, options=tuple(options), context=context or {})
    return require_family(family)(
        response, reference, finish_reason=finish_reason, allow_code=allow_code
    )
