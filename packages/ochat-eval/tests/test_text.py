from __future__ import annotations

import pytest

from ochat_eval import GradingError, Status
from ochat_eval.graders.text import grade_text


@pytest.mark.parametrize(
    ("response", "label", "right"),
    [
        ("The answer is invalid.", "invalid", True),
        ("The argument is invalid.", "invalid", True),
        ("The argument is deductively invalid", "valid", False),
        ("yes", "yes", True),
        ("**Yes**, because", "yes", True),
        ("It could be yes or no. The answer is yes or no.", "yes", False),
        ("The answer is not plausible", "no", False),
        ("So the answer is no, it is not plausible.", "no", True),
        ("The answer is False", "False", True),
        ("the answer is: **False**", "False", True),
        ("\\boxed{\\text{False}}", "False", True),
        ("\\boxed{yes}", "yes", True),
        ("So the answer is apple, bear, cat.", "apple bear cat", True),
        ("So the answer is: apple bear cat", "apple bear cat", True),
        ("The answer is:\n- apple\n- bear\n- cat", "apple bear cat", True),
        ("So the answer is Apple Bear Cat.", "apple bear cat", True),
        ("So the answer is bear apple cat", "apple bear cat", False),
        ("So the answer is 8.", "8", True),
        ("So the answer is eight.", "8", True),
        ("So the answer is -219", "-219", True),
        ("So the answer is \u2212219.", "-219", True),
        ("So the answer is ) ] }.", ") ] }", True),
        ("The answer is `) ] }`", ") ] }", True),
        (") ] }", ") ] }", True),
        ("So the answer is )]}.", ") ] }", True),
        ("So the answer is ] ).", ") ]", False),
        ("<think>so the answer is no", "no", False),
        ("<think>x</think>So the answer is no.", "no", True),
        ("So the answer is yes. Wait, so the answer is no.", "no", True),
        ("No.", "no", True),
        ("Let me think. Not sure.", "no", False),
        ('So the answer is "no".', "no", True),
        ("the answer is (no)", "no", True),
        ("so the answer is A", "yes", False),
        ("(A)", "(A)", True),
        ("So the answer is (b).", "(B)", True),
        ("So the answer is B.", "(B)", True),
        ("Answer: valid", "valid", True),
        ("The answer is neither valid nor invalid", "valid", False),
        ("The answer is true", "True", True),
        ("True", "True", True),
        ("Not ( True ) is False. So it is False.", "False", True),
        ("The answer is Yes, the sentence is plausible", "yes", True),
        ("The answer is: \n\nno", "no", True),
    ],
)
def test_an_answer_is_right_iff_it_is_committed_to_and_is_the_label(
    response: str, label: str, right: bool
) -> None:
    assert (grade_text(response, label).score == 1.0) == right


def test_a_hedge_is_wrong_and_says_so() -> None:
    verdict = grade_text("The answer is yes or no.", "yes")
    assert (verdict.status, verdict.rule) == (Status.INCORRECT, "hedge")
    assert verdict.extracted == "yes or no"


def test_nothing_found_is_unparsed_and_a_cut_one_truncated() -> None:
    assert grade_text("Let me think about it for a while.", "no").status is Status.UNPARSED
    assert grade_text("So the answer is", "no", finish_reason="length").status is Status.TRUNCATED
    assert grade_text("<think>so no", "no").status is Status.TRUNCATED


def test_the_span_shows_what_was_read() -> None:
    response = "**So the answer is** bear cat."
    verdict = grade_text(response, "bear cat")
    assert verdict.span
    assert response[slice(*verdict.span)] == "bear cat"


def test_options_make_it_a_choice() -> None:
    assert grade_text("It is the 12th.", "(B)", ["the 11th", "the 12th"]).score == 1.0


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(GradingError, match="label is empty"):
        grade_text("no", " ")
