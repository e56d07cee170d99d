"""Which profile grades which family by which rule, and the way from a rule to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ochat_eval.errors import FamilyError
from ochat_eval.graders.families import CODE_FAMILIES, Grader, Reference
from ochat_eval.profiles import lm_eval, original
from ochat_eval.profiles.rule import Match
from ochat_eval.verdict import Status, Verdict

Rule = Callable[[str, Reference], Match]

_CHOICES_2023 = {
    "agieval": original.first_capital,
    "bbh_zs": original.first_option,
    "truthfulqa": original.first_option,
}
_ORIGINAL_2023: Mapping[str, Rule] = _CHOICES_2023 | {
    "bbh_cot": original.after_answer_is_2023,
    "gsm8k": original.last_digits,
}
_ORIGINAL_2024: Mapping[str, Rule] = _CHOICES_2023 | {
    "bbh_cot": original.after_answer_is,
    "gpqa": original.first_capital_after_marker,
    "gsm8k": original.last_digits,
    "humaneval": original.first_parsing_block,
    "math": original.equal_by_prm800k,
    "mmlu": original.after_answer_is_or_c,
}
_LM_EVAL: Mapping[str, Rule] = {
    "bbh_cot": lm_eval.bbh,
    "gpqa": lm_eval.gpqa,
    "gsm8k": lm_eval.gsm8k_cot,
    "math": lm_eval.hendrycks_math,
    "mmlu": lm_eval.mmlu,
}
_LM_EVAL_FLEXIBLE: Mapping[str, Rule] = {
    "gpqa": lm_eval.flexible_choice,
    "gsm8k": lm_eval.gsm8k_flexible,
    "mmlu": lm_eval.flexible_choice,
}
_PROFILES: Mapping[str, Mapping[str, Rule]] = {
    "original-2023": _ORIGINAL_2023,
    "original-2024": _ORIGINAL_2024,
    "lm-eval": _LM_EVAL,
    "lm-eval-flexible": _LM_EVAL_FLEXIBLE,
}


def profile_names() -> tuple[str, ...]:
    """The profiles that this version knows."""
    return tuple(_PROFILES)


def profile_grader(profile: str, family: str) -> Grader:
    """The grader of a family in a profile.

    Raises:
        FamilyError: The profile never graded that family.
    """
    rule = _PROFILES[profile].get(family)
    if rule is None:
        families = ", ".join(sorted(_PROFILES[profile]))
        raise FamilyError(
            f"the profile {profile!r} has no rule for {family!r}: it grades {families}"
        )

    def graded(
        response: str,
        reference: Reference,
        *,
        finish_reason: str | None,  # noqa: ARG001 - none of the older graders knew it
        allow_code: bool,
    ) -> Verdict:
        if family in CODE_FAMILIES and not allow_code:
            return Verdict(status=Status.ERROR, score=None, rule="code-not-run")
        return _verdict(rule(response, reference))

    return graded


def profile_verdict(
    profile: str, family: str, response: str, reference: Reference, *, allow_code: bool
) -> Verdict | None:
    """The verdict of a profile; None where it has no rule for the family."""
    if family not in _PROFILES[profile]:
        return None
    grader = profile_grader(profile, family)
    return grader(response, reference, finish_reason=None, allow_code=allow_code)


def _verdict(match: Match) -> Verdict:
    """Correct counts even where nothing was matched: that is how a default letter scored."""
    status = Status.INCORRECT if match.matched else Status.UNPARSED
    if match.correct:
        status = Status.CORRECT
    rule = match.rule if match.matched else f"{match.rule}-unmatched"
    return Verdict(
        status=status, score=float(match.correct), extracted=match.answer[:200], rule=rule
    )
