from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_eval import GradingError, Status, grade_choice

FOUR = ["True, True", "False, False", "True, False", "False, True"]
WORDS = ["ten", "eleven", "twelve", "thirteen"]
NUMBERS = ["0.22", "0.26", "0.37", "0.46", "0.63"]
CITIES = ["London", "Paris", "Rome", "Oslo"]
ANIMALS = ["mammal", "bird", "fish", "insect"]
NATIONS = ["Monaco is the smallest.", "Vatican City is.", "The United States is.", "Nauru is."]


@pytest.mark.parametrize(
    ("response", "options", "letter"),
    [
        ("**C**", FOUR, "C"),
        ("c", FOUR, "C"),
        ("[C]", FOUR, "C"),
        ("C) True, False", FOUR, "C"),
        ("\uff23", FOUR, "C"),
        ("C\n\nExplanation: (A) is too low and (B) too high.", FOUR, "C"),
        ("The answer is \u2018C\u2019.", FOUR, "C"),
        ("$\\boxed{\\text{(C)}}$", FOUR, "C"),
        ("The answer is True, False.", FOUR, "C"),
        ("<think>The answer is (A)</think>The answer is (C).", FOUR, "C"),
        ("The answer is (A). Hmm, actually it's (C).", FOUR, "C"),
        ("The answer is (B)? No wait, the answer is (D)", FOUR, "D"),
        ("The answer is (C).\n\nQ: next\nA: The answer is (A).", FOUR, "C"),
        ("If the answer is (A), then no. So the answer is (B).", FOUR, "B"),
        ("A common wrong answer is (A), the answer is (B).", FOUR, "B"),
        ("I am not sure, but the answer is (B)", FOUR, "B"),
        ("(B) since (A) is absurd", FOUR, "B"),
        ("A: (B)", FOUR, "B"),
        ("A is incorrect, so B.", FOUR, "B"),
        ("Choice C is the best answer.", FOUR, "C"),
        ("The correct answer is (twelve).", WORDS, "C"),
        ("A closer look shows that the correct answer is D", WORDS, "D"),
        ("As an AI language model, I'd go with D.", NUMBERS, "D"),
        ("Evidently, D.", NUMBERS, "D"),
        ("0.46", NUMBERS, "D"),
        ("E = mc^2. The answer is B.", NUMBERS, "B"),
        ("Paris is the capital, not London.", CITIES, "B"),
        ("**Answer: (D)** Nauru is the smallest.", NATIONS, "D"),
        ("The sentence is implausible.", ["plausible", "implausible"], "B"),
        ("Answer Choices: (A) x (B) y\nAnswer: B", ["x", "y"], "B"),
        ("[", ["A", "B", "[", "\\"], "["),
        ("(A) is not right; (C) is.", FOUR, "C"),
        ("(A) mammal is not right; (C) is.", ANIMALS, "C"),
        ("B fits best", FOUR, "B"),
        ("a whale is a mammal? no, fish", ANIMALS, "C"),
        ("Is it a fish? No. It is a mammal.", ANIMALS, "A"),
        ("It is not a fish but a mammal", ANIMALS, "A"),
        ("It is a mammal, not a fish.", ANIMALS, "A"),
        ("It is a cat.", ["a cat", "a dog"], "A"),
        ("The answer is I suppose (B)", list("ABCDEFGHI"), "B"),
    ],
)
def test_a_commitment_is_read_in_any_style(response: str, options: list[str], letter: str) -> None:
    verdict = grade_choice(response, letter, options)
    assert (verdict.status, verdict.extracted) == (Status.CORRECT, letter)


@pytest.mark.parametrize(
    ("response", "options"),
    [
        ("", FOUR),
        ("I am not sure about this one.", FOUR),
        ("As an AI language model I cannot answer.", FOUR),
        ("Among A through D, the answer is", FOUR),
        ("The correct answer is (insert answer here).", FOUR),
        ("neither (A) nor (B)", FOUR),
        ("I don't think the answer is (A).", FOUR),
        ("(A) is wrong, (B) is wrong, (D) is wrong.", FOUR),
        ("(A) ten (B) eleven (C) twelve (D) thirteen", WORDS),
        ("It contains vitamin C.", WORDS),
        ("Statement A is false", FOUR),
        ("It is A common belief.", FOUR),
        ("I think so.", list("abcdefghi")),
        ("Both options are true.", ["True.", "False."]),
        ("It is not plausible.", ["plausible", "implausible"]),
        ("The answer is (\u0421).", FOUR),
        ("i dont think it is a mammal", ANIMALS),
        ("It is hardly a mammal.", ANIMALS),
        ("It isnt a mammal", ANIMALS),
        ("A mammal? No.", ANIMALS),
        ("A mammal is wrong.", ANIMALS),
        ("(A) mammal is not right", ANIMALS),
        ("neither a mammal nor a fish", ANIMALS),
    ],
)
def test_no_commitment_is_unparsed_and_never_a_default_letter(
    response: str, options: list[str]
) -> None:
    for letter in "ABCD"[: len(options)]:
        verdict = grade_choice(response, letter, options)
        assert (verdict.status, verdict.score) == (Status.UNPARSED, 0.0)


@pytest.mark.parametrize(
    "response",
    ["The answer is (A) or (B).", "A/B", "either A or B", "The answer is either A or B.",
     "The answer is B or, less likely, A.", "The answer is A, B.", "Both A and B are right.",
     "The answer could be A or B."],
)  # fmt: skip
def test_two_alternatives_are_never_right(response: str) -> None:
    assert [grade_choice(response, letter, FOUR).score for letter in "ABCD"] == [0.0] * 4


def test_a_hedge_shows_its_alternatives() -> None:
    verdict = grade_choice("The answer is (A) or (C).", "C", FOUR)
    assert (verdict.status, verdict.extracted, verdict.rule) == ("incorrect", "A/C", "hedge")


def test_a_letter_beyond_the_options_is_wrong_even_if_it_is_the_label() -> None:
    assert grade_choice("The answer is (E).", "C", FOUR).status is Status.INCORRECT


def test_an_open_reasoning_block_is_truncated() -> None:
    assert grade_choice("<think>The answer is (C), or", "C", FOUR).status is Status.TRUNCATED


def test_a_length_stop_without_an_answer_is_truncated_and_with_one_is_graded() -> None:
    cut = grade_choice("Let us see whether", "C", FOUR, finish_reason="length")
    assert cut.status is Status.TRUNCATED
    assert grade_choice("C", "C", FOUR, finish_reason="length").status is Status.CORRECT


def test_the_span_shows_what_was_read_in_the_response_itself() -> None:
    response = "<think>hmm\u00a0(A)</think> **The answer is (B)**, not (A)."
    verdict = grade_choice(response, "B", FOUR)
    assert verdict.span is not None
    assert response[slice(*verdict.span)] == "(B)"


def test_several_labels_and_labels_by_text_or_in_brackets_count() -> None:
    assert grade_choice("B", ["A", "B"], FOUR).score == 1.0
    assert grade_choice("B", "(B)", ["(A)", "(B)"]).score == 1.0
    assert grade_choice("The answer is (B).", "eleven", WORDS).score == 1.0


def test_a_label_that_is_no_option_is_an_error_of_the_question() -> None:
    with pytest.raises(GradingError, match="neither a letter nor the text"):
        grade_choice("B", "fourteen", WORDS)


STYLES = ["{}", "**{}**", "{}  \n", "\n{}", "_{}_", "<think>Maybe (D).</think>{}", "`{}`"]
BODIES = [
    "The answer is (B).", "B", "(B)", "I choose B.", "Option B is correct.", "It is (A) or (B)",
    "I do not know.", "The answer is not (A)", "(A) is wrong",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", BODIES)
def test_markup_white_space_and_reasoning_do_not_change_a_verdict(style: str, body: str) -> None:
    plain, styled = (grade_choice(text, "B", FOUR) for text in (body, style.format(body)))
    assert (styled.status, styled.extracted) == (plain.status, plain.extracted)


@given(st.text())
def test_nothing_that_a_model_writes_makes_the_grader_raise(response: str) -> None:
    verdict = grade_choice(response, "B", FOUR)
    assert verdict.span is None or 0 <= verdict.span[0] < verdict.span[1] <= len(response)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Lu", "Ll", "Lt", "Lm", "Lo", "So", "No"]))
)
def test_without_a_letter_in_the_response_nothing_is_credited(response: str) -> None:
    assert all(grade_choice(response, letter, FOUR).score == 0.0 for letter in "ABCD")


PIECES = [
    "the answer is", "answer:", "so", "therefore", "not", "if", "option", "is correct", "I",
    "choose", "\\boxed{", "}", "####", ":", ".", "\n", "either", "or", "**", "=", "it is",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES)))
def test_cues_without_a_letter_credit_nothing(pieces: list[str]) -> None:
    response = " ".join(pieces)
    assert all(grade_choice(response, letter, WORDS).score == 0.0 for letter in "ABCD")


def test_options_of_a_single_sign_are_texts_where_the_label_is_a_letter_beyond_them() -> None:
    assert grade_choice("The answer is (B).", "B", ["x", "y"]).score == 1.0
    assert grade_choice("y", "B", ["x", "y"]).score == 1.0
    assert grade_choice("The answer is (B).", "A", ["x", "y"]).score == 0.0
    assert grade_choice("K", "K", ["J", "K"]).score == 1.0
