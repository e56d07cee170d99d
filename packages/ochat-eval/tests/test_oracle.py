"""An oracle that knows the labels and answers as planned, in forms that chance picks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ochat_eval import Question, RunConfig, load_suite, run_suite

CHOICE_FORMS = (
    "{}", "({})", "The answer is ({}).", "**Answer: {}**", "I choose {}.",
    "The correct option is ({})",
    "So the answer is \\boxed{{{}}}", "{} because it is.", "<think>maybe (A)</think>\n({})",
    "(A) may seem right at first. The answer is ({}).",
    "The correct answer is {}.\n\nQ: And what is 2+2? (A) 3 (B) 4\nA: The answer is (B).",
)  # fmt: skip
NUMBER_FORMS = (
    "{}", "{:,}", "The answer is {:,}.", "#### {}", "So it is 3 + 4 = {}.", "${:,}.00",
    "\\boxed{{{}}}", "The answer is {} apples. I used 3 steps.", "\u2009The answer is **{}**",
    "<think>It could be 7.</think>\nThe answer is {}.",
)  # fmt: skip
TEXT_FORMS = (
    "So the answer is {}.", "the answer is: {}", "**So the answer is {}.**", '"{}"', "{}",
    "The answer is {}", "Let me see. So the answer is {}.\n\nQ: next?\nA: So the answer is 3.",
    "<think>hm</think>So the answer is {}.",
)  # fmt: skip
MATH_FORMS = (
    "$\\boxed{{{}}}$", "The answer is ${}$.", "So \\fbox{{{}}}.", "We get $\\boxed{{{}}}$, done.",
    "First $\\boxed{{0}}$, no: $\\boxed{{{}}}$", "The final answer is \\({}\\).",
    "**$\\boxed{{ {} }}$**", "<think>$\\boxed{{99}}$</think>$\\boxed{{{}}}$",
)  # fmt: skip
# Label, another way to write it, and something else.
MATH = (
    ("\\frac{1}{2}", "0.5", "\\frac{1}{3}"),
    ("x^2+2x+1", "(x+1)^2", "(x-1)^2"),
    ("1,3", "3, 1", "3"),
    ("[2,5)", "[2, 5)", "(2,5)"),
    ("90^\\circ", "90", "91"),
    ("\\text{Evelyn}", "Evelyn", "\\text{Anna}"),
)
PROMPT = 'def twice(x: int) -> int:\n    """Twice x."""\n'
TESTS = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-1) == -2\n"
CODE_FORMS = (
    "```python\ndef twice(x):\n    return {} * x\n```", "```\ndef twice(x):\n    return {} * x",
    "def twice(x):\n    return {} * x\n", "    return {} * x\n",
    "Here:\n```py\ntwice = lambda x: {} * x\n```\nIt doubles.",
)  # fmt: skip
ANIMALS = ("a wild mammal", "some bird", "an old fish", "one insect")


def draw(text: str, n: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % n


def is_right(question_id: str) -> bool:
    return draw(f"right {question_id}", 100) < 65


def form(forms: tuple[str, ...], question_id: str) -> str:
    return forms[draw(f"form {question_id}", len(forms))]


def choice(family: str, i: int) -> tuple[Question, str]:
    letter, name = "ABCD"[i % 4], f"{family}-{i}"
    question = Question(
        id=name, group=family, family=family, task=family, prompt=f"{family} {i}?",
        labels=(letter,), options=ANIMALS,
    )  # fmt: skip
    wrong = "ABCD"[(i + 1 + draw(name, 3)) % 4]
    return question, form(CHOICE_FORMS, name).format(letter if is_right(name) else wrong)


def number(i: int) -> tuple[Question, str]:
    name, value = f"gsm8k-{i}", 1000 + 37 * i
    question = Question(
        id=name, group="gsm8k", family="gsm8k", task="gsm8k", prompt=f"gsm8k {i}?",
        labels=(str(value),),
    )  # fmt: skip
    return question, form(NUMBER_FORMS, name).format(value if is_right(name) else value + 8)


def text(i: int) -> tuple[Question, str]:
    name = f"bbh_cot-{i}"
    right, wrong = (
        ("yes", "no"), ("False", "True"), ("invalid", "valid"), ("ant bee cat", "bee ant cat"),
        ("] } >", "] >"), ("-219", "219"),
    )[i % 6]  # fmt: skip
    question = Question(
        id=name, group="bbh_cot", family="bbh_cot", task="bbh_cot", prompt=f"bbh_cot {i}?",
        labels=(right,),
    )  # fmt: skip
    return question, form(TEXT_FORMS, name).format(right if is_right(name) else wrong)


def mathematics(i: int) -> tuple[Question, str]:
    name = f"math-{i}"
    label, same, other = MATH[i % len(MATH)]
    question = Question(
        id=name, group="math", family="math", task="math", prompt=f"math {i}?", labels=(label,)
    )
    return question, form(MATH_FORMS, name).format(same if is_right(name) else other)


def program(i: int) -> tuple[Question, str]:
    name = f"humaneval-{i}"
    question = Question(
        id=name, group="humaneval", family="humaneval", task="humaneval",
        prompt=f"humaneval {i}?", labels=("pass",),
        context={"prompt": PROMPT, "test": TESTS, "entry_point": "twice"},
    )  # fmt: skip
    return question, form(CODE_FORMS, name).format(2 if is_right(name) else 3)


@pytest.fixture
def planned() -> list[tuple[Question, str]]:
    """Every family's questions with the oracle's answers."""
    pytest.importorskip("math_verify")
    families = ("agieval", "bbh_zs", "truthfulqa", "mmlu", "gpqa")
    made = [choice(family, i) for family in families for i in range(60)]
    made += [each(i) for each in (number, text, mathematics) for i in range(60)]
    return made + [program(i) for i in range(20)]


def test_every_family_has_exactly_the_planned_accuracy(
    planned: list[tuple[Question, str]],
    config: RunConfig,
    server: Any,
    make_suite: Callable[[list[Question]], str],
) -> None:
    questions = [question for question, _ in planned]
    answers = {question.prompt: answer for question, answer in planned}
    server.answer = answering(server, answers)
    suite = make_suite(questions)
    summary: Any = run_suite(
        replace(config, suite=suite, allow_code=True, profiles=("original-2024", "lm-eval"))
    )
    wrong = _differing(config.output, questions)
    assert not wrong, [(name, answers[f"{name.replace('-', ' ')}?"]) for name in wrong]
    for task, figures in summary["tasks"].items():
        right = [is_right(question.id) for question in questions if question.task == task]
        assert figures["accuracy"] == sum(right) / len(right)
    assert len(summary["tasks"]) == 9
    assert set(summary["profiles"]) == {"original-2024", "lm-eval"}


def answering(server: Any, answers: dict[str, str]) -> Callable[[dict[str, Any], int], str]:
    def answer(body: dict[str, Any], _attempt: int) -> str:
        return answers[server.prompt_of(body)]

    return answer


def _differing(output: Path, questions: list[Question]) -> list[str]:
    rows = [json.loads(line) for line in (output / "verdicts.jsonl").read_text().splitlines()]
    assert len(rows) == len(questions)
    return [row["id"] for row in rows if (row["status"] == "correct") != is_right(row["id"])]


def test_the_originals_items_have_exactly_the_planned_accuracy(
    config: RunConfig, server: Any, test_data: Path
) -> None:
    suite = str(test_data / "openchat_eval")
    questions = load_suite(suite, limit=30).questions
    answers: dict[str, str] = {}
    for question in questions:
        label = question.labels[0]
        forms = CHOICE_FORMS if question.options else TEXT_FORMS
        others = [o.strip("()") for o in question.options if o.strip("()") != label.strip("()")]
        wrong = others[0] if others else _opposite(label)
        answer = label.strip("()") if is_right(question.id) else wrong
        answers[question.prompt] = form(forms, question.id).format(answer)
    assert len(answers) == len(questions)
    server.answer = answering(server, answers)
    summary: Any = run_suite(replace(config, suite=suite, limit=30))
    assert not _differing(config.output, list(questions))
    assert summary["overall"]["correct"] == sum(is_right(q.id) for q in questions)


def _opposite(label: str) -> str:
    opposites = {"yes": "no", "no": "yes", "True": "False", "False": "True"}
    return opposites.get(label) or str(int(label) + 1)
