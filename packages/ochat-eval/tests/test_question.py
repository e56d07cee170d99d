from __future__ import annotations

import pytest

from ochat_eval import Question, Status
from ochat_eval.question import prompt_options

LETTERS = ("A", "B", "C", "D")
WINDOW = "What is a window made of? (A) wood, (B) metal, (C) glass or (D) cloth?"
WHALE = "A whale is (A) a mammal, (B) a bird, (C) a fish or (D) an insect?"


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (WINDOW, ("wood", "metal", "glass", "cloth")),
        (WHALE, ("a mammal", "a bird", "a fish", "an insect")),
        ("Say (A) x, (B) y; (C) z, and (D) w.", ("x", "y", "z", "w")),
        ("Pick:\n(A) wood\n(B) metal\n(C) glass\n(D) or\nSo?", ("wood", "metal", "glass", "or")),
        ("Fill in: (A) and (B) or (C) but (D) yet", ("and", "or", "but", "yet")),
    ],
)  # fmt: skip
def test_the_words_of_a_list_are_no_part_of_its_options(
    prompt: str, texts: tuple[str, ...]
) -> None:
    assert prompt_options(prompt, LETTERS) == texts


@pytest.mark.parametrize(
    ("prompt", "response", "label", "status"),
    [
        (WINDOW, "It is glass.", "C", Status.CORRECT),
        (WINDOW, "It is glass, wood would rot.", "A", Status.UNPARSED),
        (WHALE, "A fish.", "C", Status.CORRECT),
        (WHALE, "fish", "C", Status.CORRECT),
        (WHALE, "The insect.", "D", Status.CORRECT),
        (WHALE, "a whale is a mammal? no, fish", "A", Status.INCORRECT),
    ],
)
def test_an_option_is_recognised_by_its_text_with_any_article_or_none(
    prompt: str, response: str, label: str, status: Status
) -> None:
    question = Question(
        id="q", group="g", family="choice", prompt=prompt, labels=(label,), options=LETTERS
    )
    assert question.grade(response).status is status


def test_questions_of_gpqa_are_gated_unless_a_row_says_otherwise() -> None:
    row = {"id": "1", "group": "g", "family": "gpqa", "question": "x?", "label": "A"}
    for said, expected in ((row, True), (row | {"gated": False}, False)):
        question = Question.from_json(said)
        assert question.gated is expected
        assert Question.from_json(question.to_json()) == question
    assert not Question.from_json(row | {"family": "mmlu"}).gated
