from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_eval import GradingError, Status, grade_number


@pytest.mark.parametrize(
    ("response", "label"),
    [
        ("The answer is $1,234.00", "1234"),
        ("The answer is \u22121\u202f234.", "-1234"),
        ("18.00", "18"),
        ("The answer is -$5.", "-5"),
        ("The answer is - 7", "-7"),
        ("The answer is 3/4.", "0.75"),
        ("The answer is \u00bd", "0.5"),
        ("The answer is 2 1/2 hours", "2.5"),
        ("$\\boxed{\\frac{3}{4}}$", "0.75"),
        ("\\[ \\boxed{1{,}234} \\]", "1234"),
        ("The answer is 1.5e3.", "1500"),
        ("The answer is 1.5 million", "1500000"),
        ("The answer is 25%.", "25"),
        ("The answer is twelve.", "12"),
        ("The answer is 18 dollars and 50 cents.", "18.5"),
        ("The answer is 60*20 = 1200.", "1200"),
        ("The answer is:\n\n**42**", "42"),
        ("The answer is 18, not 20.", "18"),
        ("The answer is not 5 but 6.", "6"),
        ("If the answer is 5 then wrong. The answer is 7", "7"),
        ("The answer is 5. Wait, no. The answer is 6.", "6"),
        ("The answer is 12. Let me know if you need the other 3 steps.", "12"),
        ("The answer is 12\n\nQ: next one\nA: The answer is 13", "12"),
        ("The answer is 24 hours or 1 day.", "24"),
        ("#### 1,000", "1000"),
        ("5 + 3 = 8. Thus he has 8 apples. That uses step 2.", "8"),
        ("Her total is 12 eggs \u00d7 3 = 36 eggs", "36"),
        ("John needs 3 more.\n\n18", "18"),
    ],
)
def test_the_committed_number_is_read_by_value(response: str, label: str) -> None:
    verdict = grade_number(response, label)
    assert verdict.status is Status.CORRECT, verdict


@pytest.mark.parametrize(
    ("response", "label"),
    [
        ("The answer is -5.", "5"),
        ("The answer is $18.50.", "18"),
        ("The answer is 10 or 12.", "12"),
        ("The answer is between 10 and 12.", "12"),
        ("The answer is 3 apples and 2 pears", "3"),
        ("The answer is 9,5", "9"),
        ("The answer is 1.2.3", "1"),
        ("The answer is not 5.", "5"),
        ("5/0", "5"),
        ("nothing here", "0"),
        ("The answer is " + "9" * 5000, "9"),
    ],
)
def test_another_value_a_hedge_and_a_malformed_number_are_not_credited(
    response: str, label: str
) -> None:
    assert grade_number(response, label).score == 0.0


@pytest.mark.parametrize(
    "response",
    ["definitely not 8", "it isn't 8", "it isnt 8", "I dont think it is 8", "2 plus 6 is not 8",
     "less than 8", "more than 8", "fewer than about 8", "It is never 8.", "not 7 or 8",
     "It is neither 7 nor 8.", "She has 3 fewer than 8.", "The answer is less than 8.", "8? No.",
     "So 2 plus 6 is not 8."],
)  # fmt: skip
def test_a_denied_number_is_no_commitment(response: str) -> None:
    assert grade_number(response, "8").status is Status.UNPARSED


@pytest.mark.parametrize(
    "response",
    ["It is 8, not 9.", "It is 8 rather than 9", "It is not 7 but 8", "Not 7, it is 8.", "no, 8",
     "There are 8, which is 3 more than 5.", "She has 3 more than 5 = 8", "no doubt 8",
     "The answer is less than 10, it is 8.", "What is 2 plus 6? 8", "5 is not enough so 8"],
)  # fmt: skip
def test_a_denial_reaches_only_what_it_denies(response: str) -> None:
    assert grade_number(response, "8").status is Status.CORRECT


@pytest.mark.parametrize("response", ["between 20 and 24", "It is from 20 to 24.", "20 or 24"])
def test_the_ends_of_a_range_are_a_hedge(response: str) -> None:
    verdict = grade_number(response, "24")
    assert (verdict.status, verdict.rule) == (Status.INCORRECT, "hedge")


@pytest.mark.parametrize(
    ("response", "extracted", "rule"),
    [
        ("umm 6 or so", "6", "last-number"),
        ("umm 6 or so. No wait, 8.", "8", "last-number"),
        ("Not so sure, 5? It is 7.", "7", "last-number"),
        ("She has 3 and 5, so 8. I checked 2 times.", "8", "conclusion"),
    ],
)
def test_only_a_so_that_concludes_makes_a_conclusion(
    response: str, extracted: str, rule: str
) -> None:
    verdict = grade_number(response, extracted)
    assert (verdict.status, verdict.rule) == (Status.CORRECT, rule)


def test_without_a_number_the_response_is_unparsed_or_truncated() -> None:
    assert grade_number("I cannot say.", "5").status is Status.UNPARSED
    assert grade_number("I cannot", "5", finish_reason="length").status is Status.TRUNCATED
    assert grade_number("<think>It is 5", "5").status is Status.TRUNCATED


def test_a_number_that_the_token_limit_may_have_cut_is_truncated() -> None:
    cut = grade_number("The answer is 12", "12", finish_reason="length")
    assert cut.status is Status.TRUNCATED
    whole = grade_number("The answer is 12. And", "12", finish_reason="length")
    assert whole.status is Status.CORRECT


def test_intermediate_numbers_of_a_cut_response_are_no_answer() -> None:
    verdict = grade_number("So she has 5 apples. Then", "5", finish_reason="length")
    assert verdict.status is Status.TRUNCATED


def test_the_span_shows_the_number_in_the_response_itself() -> None:
    response = "*Well*, the answer is **$1,234**."
    verdict = grade_number(response, "1234")
    assert verdict.span is not None
    assert response[slice(*verdict.span)] == "$1,234"


def test_a_label_that_is_no_number_is_an_error_of_the_question() -> None:
    with pytest.raises(GradingError, match="not one number"):
        grade_number("5", "five or six apples")


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "{:,}", "${:,}", "{}.00", "**{}**"]))
def test_every_style_of_a_whole_number_is_the_same_number(value: int, style: str) -> None:
    assert grade_number(f"So the answer is {style.format(value)}.", str(value)).score == 1.0
    assert grade_number(f"So the answer is {style.format(value)}.", str(value + 1)).score == 0.0


@given(st.text())
def test_nothing_that_a_model_writes_makes_the_grader_raise(response: str) -> None:
    verdict = grade_number(response, "7")
    assert verdict.span is None or 0 <= verdict.span[0] < verdict.span[1] <= len(response)


@given(st.text(alphabet=st.characters(exclude_categories=["Nd", "No", "Nl"])))
def test_without_a_digit_or_number_word_nothing_is_credited(response: str) -> None:
    assert "seven" in response.lower() or grade_number(response, "7").score == 0.0
