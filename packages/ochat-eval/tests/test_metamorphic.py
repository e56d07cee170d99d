"""What does not change an answer does not change its verdict."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ochat_eval import grade

OPTIONS = ("a heavy stone", "some running water", "thin air", "bright fire")
ANSWERS = (
    "The answer is ({}).", "{}", "({}) because of that.", "I choose {}.", "It must be option {}.",
    "I pass.", "The answer is ({}) or (A).", "Not ({}).",
)  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_permuting_the_options_permutes_the_answer_and_nothing_else(answer: str) -> None:
    for right, said in itertools.product(range(4), range(4)):
        if "(A)" in answer and said == 0:
            continue
        seen: set[tuple[str, float | str | None]] = set()
        for order in itertools.permutations(range(4)):
            options = [OPTIONS[index] for index in order]
            label, letter = ("ABCD"[order.index(index)] for index in (right, said))
            if "(A)" in answer and letter == "A":
                continue
            verdict = grade("mmlu", answer.format(letter), label, options)
            seen.add((verdict.status, verdict.score))
        assert len(seen) == 1


@pytest.mark.parametrize("style", ["{}", "{:,}", "{}.0", "{:,}.00", "${:,}", "{} ", "+{}"])
def test_the_style_of_a_number_changes_nothing(style: str) -> None:
    for value, label in itertools.product((7, 1234, 56789), (7, 1234, 56789)):
        verdict = grade("gsm8k", f"The answer is {style.format(value)}", str(label))
        assert (verdict.score == 1.0) == (value == label)


CHANGES: dict[str, Callable[[str], str]] = {
    "reasoning before": lambda text: f"<think>Is it (A) or 12? No. </think>\n\n{text}",
    "reasoning that only ends": lambda text: f"I wonder about (C), 17.</think>{text}",
    "white space around": lambda text: f"\n\n  {text}  \n",
    "windows line ends": lambda text: text.replace("\n", "\r\n"),
    "a run-on turn after": lambda text: f"{text}\n\nQ: And 2+2?\nA: The answer is (D) 4.",
    "invisible characters": lambda text: f"\ufeff{text}\u200b",
}
# Judges' words and programs have no such invariances, nor what breaks off or is a single symbol.
FAMILIES = ("agieval", "bbh_cot", "bbh_zs", "gpqa", "gsm8k", "math", "mmlu", "truthfulqa")


def cases() -> list[dict[str, Any]]:
    folder = os.environ.get("OCHAT_TEST_DATA")
    if not folder:
        return []
    lines = (Path(folder) / "grading_cases.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [
        case
        for case in found
        if case["family"] in FAMILIES and "<think>" not in case["response"] and case["response"]
    ]


@pytest.mark.skipif(not cases(), reason="OCHAT_TEST_DATA is not set")
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_around_the_answer_does_not_change_the_verdict(change: str) -> None:
    pytest.importorskip("math_verify")
    wrong: list[tuple[str, str]] = []
    for case in cases():
        response, context = case["response"], case["context"]
        after = "run-on" in change
        if after and ("Q" in response or response.rstrip()[-3:] in ("is", "\\boxed{"[-3:], "is ")):
            continue
        found = [
            grade(
                case["family"],
                text,
                case["label"],
                context.get("choices") or (),
                finish_reason=context.get("finish_reason"),
            ).status
            for text in (response, CHANGES[change](response))
        ]
        if (found[0] == "correct") != (found[1] == "correct"):
            wrong.append((case["id"], CHANGES[change](response)))
    assert not wrong


@pytest.mark.parametrize("mark", ["**{}**", "*{}*", "__{}__", "`{}`", "***{}***", "~~{}~~"])
def test_emphasis_around_the_answer_changes_nothing(mark: str) -> None:
    marked = mark.format
    assert grade("mmlu", f"The answer is {marked('(B)')}.", "B", OPTIONS).score == 1.0
    assert grade("mmlu", marked("The answer is (B)"), "B", OPTIONS).score == 1.0
    assert grade("gsm8k", f"So it is {marked('1,234')}.", "1234").score == 1.0
    assert grade("bbh_cot", f"So the answer is {marked('no')}.", "no").score == 1.0
    assert grade("bbh_cot", f"So the answer is {marked('ant bee')}.", "ant bee").score == 1.0
