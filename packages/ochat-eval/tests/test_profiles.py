from __future__ import annotations

from typing import Any

import pytest

from ochat_eval import Status
from ochat_eval.graders.families import Reference
from ochat_eval.profiles import profile_grader, profile_names, profile_verdict
from ochat_eval.verdict import Verdict

# Which of the verdicts that were computed with the graders themselves a profile must give again.
KEYS = {
    "original-2024": dict.fromkeys(
        ("agieval", "bbh_cot", "bbh_zs", "gpqa", "gsm8k", "humaneval", "math", "mmlu",
         "truthfulqa"),
        "ochat",
    ),
    "lm-eval": {
        "bbh_cot": "lm_eval_cot_fewshot",
        "gpqa": "lm_eval_strict",
        "gsm8k": "lm_eval_cot_strict",
        "math": "lm_eval_hendrycks",
        "mmlu": "lm_eval_strict",
    },
    "lm-eval-flexible": dict.fromkeys(("gpqa", "gsm8k", "mmlu"), "lm_eval_flex"),
}  # fmt: skip
# Scored by EvalPlus in the original; our sandbox sees through the exit and the always-equal object.
BY_SANDBOX = {"humaneval-11", "humaneval-13"}


@pytest.mark.parametrize("profile", KEYS)
def test_a_profile_gives_the_verdicts_of_the_grader_that_it_stands_for(
    profile: str, grading_cases: list[dict[str, Any]]
) -> None:
    pytest.importorskip("math_verify")
    differing: list[str] = []
    for case in grading_cases:
        key = KEYS[profile].get(case["family"])
        if key is None:
            continue
        label = case["label"]
        if profile != "original-2024" and len(label) == 1 and label.isalpha():
            label = f"({label})"
        context = case["context"]
        reference = Reference(
            labels=(label,), options=tuple(context.get("choices") or ()), context=context
        )
        verdict = profile_verdict(
            profile, case["family"], case["response"], reference, allow_code=True
        )
        assert verdict
        if (verdict.score == 1.0) != case["public_verdicts"][key]:
            differing.append(case["id"])
    assert set(differing) == (BY_SANDBOX if profile == "original-2024" else set())


def by(profile: str, family: str, response: str, label: str, *options: str) -> Verdict:
    reference = Reference(labels=(label,), options=options)
    return profile_grader(profile, family)(
        response, reference, finish_reason=None, allow_code=False
    )


def test_the_original_credits_c_where_there_is_no_answer_and_says_that_nothing_matched() -> None:
    verdict = by("original-2024", "mmlu", "", "(C)", "(A)", "(B)", "(C)", "(D)")
    assert (verdict.score, verdict.rule) == (1.0, "after-answer-is-unmatched")
    assert by("original-2024", "gpqa", "", "C").score == 1.0


def test_the_original_reads_the_first_capital_and_cuts_numbers_at_commas() -> None:
    assert by("original-2024", "agieval", "A careful look: B", "B", *"ABCD").extracted == "A"
    assert by("original-2023", "gsm8k", "It is 1,234", "1234").extracted == "234"


def test_the_versions_differ_where_nothing_follows_the_cue() -> None:
    assert by("original-2024", "bbh_cot", "the answer is ", "no").rule == "after-answer-is"
    assert by("original-2023", "bbh_cot", "the answer is ", "no").status is Status.UNPARSED


def test_a_family_that_a_profile_never_graded_has_no_verdict() -> None:
    reference = Reference(labels=("B",), options=("A", "B"))
    for family, profile in (("mmlu", "original-2023"), ("agieval", "lm-eval")):
        assert profile_verdict(profile, family, "B", reference, allow_code=False) is None


def test_every_profile_survives_anything() -> None:
    pytest.importorskip("math_verify")
    for profile in profile_names():
        for family in ("agieval", "bbh_cot", "bbh_zs", "gpqa", "gsm8k", "math", "mmlu"):
            for response in ("", "\\frac", "\\boxed{", "answer is ", "$", "\\text{ a}\\text{ b}"):
                reference = Reference(labels=("A",), options=("A", "B"))
                profile_verdict(profile, family, response, reference, allow_code=False)
