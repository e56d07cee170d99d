from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ochat_eval import CodeNotAllowedError, FamilyError, GradingError, family_names, grade
from ochat_eval.graders.families import JUDGE_FAMILIES


def test_every_grading_case_is_right(grading_cases: list[dict[str, Any]]) -> None:
    pytest.importorskip("math_verify")
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for case in grading_cases:
        seen[case["family"]] += 1
        context = case["context"]
        verdict = grade(
            case["family"],
            case["response"],
            [] if case["label"] is None else case["label"],
            context.get("choices") or (),
            context=context,
            finish_reason=context.get("finish_reason"),
            allow_code=True,
        )
        got = verdict.score if case["family"] in JUDGE_FAMILIES else verdict.score == 1.0
        if got != case["expected"]:
            wrong.append(f"{case['id']}: {verdict}")
    assert seen.total() == 96
    assert set(seen) == set(family_names()) - {"choice", "number", "text"}
    assert not wrong


def test_an_unknown_family_brings_the_nearest_name() -> None:
    with pytest.raises(FamilyError, match="did you mean gsm8k"):
        grade("gsmk8", "1", "1")


def test_programs_do_not_run_unless_that_was_allowed() -> None:
    context = {"prompt": "def f():\n", "test": "def check(f):\n    pass\n", "entry_point": "f"}
    with pytest.raises(CodeNotAllowedError, match="--allow-code"):
        grade("humaneval", "def f():\n    return 1\n", "pass", context=context)


def test_a_program_without_its_tests_cannot_be_graded() -> None:
    with pytest.raises(GradingError, match="prompt, test, entry_point"):
        grade("humaneval", "def f(): ...", "pass", context={"prompt": ""}, allow_code=True)
