from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ochat_eval import FamilyError, family_names, grade


def test_the_grading_cases_of_every_available_family_are_right(test_data: Path) -> None:
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for line in (test_data / "grading_cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        if case["family"] not in family_names():
            continue
        seen[case["family"]] += 1
        context = case["context"]
        verdict = grade(
            case["family"],
            case["response"],
            case["label"],
            context.get("choices", ()),
            finish_reason=context.get("finish_reason"),
        )
        if (verdict.score == 1.0) != case["expected"]:
            wrong.append(case["id"])
    assert set(seen) == {"agieval", "bbh_zs", "gpqa", "gsm8k", "mmlu", "truthfulqa"}
    assert not wrong, f"{len(wrong)} of {seen.total()} wrong: {wrong}"


def test_a_family_of_a_later_version_is_named_as_such_with_the_available_ones() -> None:
    with pytest.raises(FamilyError, match="'math' is not available yet.*gsm8k"):
        grade("math", "1", "1")


def test_an_unknown_family_brings_the_nearest_name() -> None:
    with pytest.raises(FamilyError, match="did you mean gsm8k"):
        grade("gsmk8", "1", "1")
