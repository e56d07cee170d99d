from __future__ import annotations

import time

import pytest

from ochat_eval import GradingError, Status
from ochat_eval.graders.equivalence import Equality, Equivalence
from ochat_eval.graders.mathematics import grade_math

pytest.importorskip("math_verify")


@pytest.mark.parametrize(
    ("response", "label", "right"),
    [
        ("$\\boxed{-\\frac{3}{4}}$", "-0.75", True),
        ("The answer is $x=\\boxed{\\frac{\\sqrt{3}}{2}}$.", "\\frac{\\sqrt3}{2}", True),
        ("\\boxed{\u22125}", "-5", True),
        ("\\boxed{1\\,234}", "1234", True),
        ("\\boxed{1,234}", "1234", True),
        ("\\boxed{1{,}234}", "1,\\!234", True),
        ("\\boxed{5\\text{ cm}}", "5", True),
        ("\\boxed{\\$5}", "5", True),
        ("\\boxed{0.5}", "\\frac12", True),
        ("\\boxed{(-\\infty, 3]}", "(-\\infty,3]", True),
        ("\\boxed{[1,2]}", "x \\in [1,2]", True),
        ("\\boxed{x \\in [1,2]}", "[1,2]", True),
        ("\\boxed{9^{9^{9^9}}}", "5", False),
        ("So $x = \\boxed{3}$ or $x=\\boxed{1}$", "1,3", True),
        ("So $x = \\boxed{3}$ and $x=\\boxed{1}$", "1,3", True),
        ("\\boxed{5} or maybe \\boxed{7}", "7", False),
        ("The final answer is 42.", "42", True),
        ("42", "42", True),
        ("I do not know.", "42", False),
        ("", "42", False),
        ("\\boxed{\\text{Tuesday}}", "Tuesday", True),
        ("\\boxed{y = 2x + 1}", "y=2x+1", True),
        ("\\boxed{2x + 1}", "y=2x+1", True),
        ("\\boxed{3\\sqrt{2}}", "\\sqrt{18}", True),
        ("\\boxed{\\sqrt{2}+1}", "1+\\sqrt2", True),
        ("\\boxed{12_{3}}", "5_{10}", False),
        ("\\boxed{101_2}", "101_{2}", True),
        ("\\boxed{\\{1,2,3\\}}", "\\{3,2,1\\}", True),
        ("\\boxed{1/3}", "0.333333", False),
        ("\\boxed{50\\%}", "50", True),
        ("\\boxed{50}", "50\\%", True),
        ("<think>\\boxed{5}</think> So the answer is $\\boxed{6}$", "6", True),
        ("<think>\\boxed{6}", "6", False),
        ("**The answer is $\\boxed{6}$**", "6", True),
        ("The answer is \\(\\frac{2}{3}\\).", "\\frac23", True),
        ("\\[ x = 7 \\] Therefore, $x = 7$.", "7", True),
        ("The answer is $\\frac{1}{2}$ or $\\frac{1}{3}$.", "\\frac{1}{2}", False),
        ("\\boxed{\\dfrac{7}{2}\\pi}", "\\frac{7\\pi}{2}", True),
        ("\\boxed{(3,\\frac{\\pi}{2})}", "\\left( 3, \\frac{\\pi}{2} \\right)", True),
        ("\\boxed{6 - 5i}", "6-5i", True),
        ("\\boxed{-5i+6}", "6-5i", True),
        ("\\boxed{\\frac{3}{56} \\text{ square inches}}", "\\frac{3}{56}", True),
        ("\\boxed{864 \\mbox{ inches}^2}", "864", True),
        ("\\boxed{\\text{(C)}}", "\\text{(C)}", True),
        ("\\boxed{C}", "\\text{(C)}", True),
        ("\\boxed{1.50}", "1.5", True),
        ("\\boxed{.5}", "0.5", True),
        ("\\fbox{4}", "4", True),
        ("$\\boxed{4}$\n\nQuestion: what is 2+3?\nAnswer: $\\boxed{5}$", "4", True),
        ("\\boxed{2^{10}}", "1024", True),
        ("\\boxed{10!}", "3628800", True),
        ("\\boxed{x^2-1}", "(x-1)(x+1)", True),
        (
            "\\boxed{\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}}",
            "\\begin{pmatrix}1\\\\2\\end{pmatrix}",
            True,
        ),
        ("The answer is not 5. It is 6. The answer is $6$.", "6", True),
        ("The answer is 5, not 6", "5", True),
        ("$\\boxed{\\frac{1}{2}}$ (approximately 0.5)", "\\frac12", True),
        ("\\boxed{4\\frac{1}{2}}", "4.5", True),
        ("\\boxed{10^{100}}", "10^{100}", True),
        ("\\boxed{\\$1{,}000{,}000}", "1000000", True),
        ("\\boxed{\\text{no solution}}", "\\text{No solution}", True),
        ("\\boxed{1 000}", "1000", True),
        ("\\boxed{12{,}000}", "12000", True),
        ("\\boxed{\\ 7}", "7", True),
        ("The answer is 3/4", "\\frac{3}{4}", True),
        ("\\boxed{x=5, y=3}", "x=5,y=3", True),
        ("The answer is 1,3", "1,3", True),
        ("\\boxed{13}", "1,3", False),
        ("\\boxed{135^\\circ}", "135^{\\circ}", True),
        ("\\boxed{5 \\text{ or } 7}", "5", False),
        ("\\boxed{5 \\text{ or } 7}", "5,7", True),
        ("\\boxed{2}", "\\pm 2", False),
        ("\\boxed{3.14}", "\\pi", False),
        ("\\boxed{0.3333}", "\\frac13", False),
        ("\\boxed{\\frac{1}{2}", "\\frac12", False),
        ("\\boxed{\\frac{\\sqrt{2}}{2}}", "\\frac{1}{\\sqrt{2}}", True),
        ("\\boxed 5", "5", True),
        ("$\\boxed5$", "5", True),
        ("Thus $x = 7$.", "7", True),
        ("\\boxed{10^{-3}}", "0.001", True),
        ("\\boxed{3:2}", "3:2", True),
        ("\\boxed{\\text{B}}", "B", True),
        ("\\boxed{12\\pi}", "12 \\pi", True),
        ("\\boxed{(1,2),(3,4)}", "(3,4),(1,2)", True),
        ("\\boxed{(1,\\infty)\\cup(-\\infty,-1)}", "(-\\infty,-1)\\cup(1,\\infty)", True),
        ("\\boxed{f(x)=x^2}", "x^2", True),
        ("\\boxed{\\sqrt{50}}", "5\\sqrt2", True),
        ("\\boxed{10\\,\\text{m}^2}", "10", True),
        ("\\boxed{}", "5", False),
        ("\\boxed{11.0}", "11", True),
        ("\\boxed{1\u202f234}", "1234", True),
        ("The answer is 1\u202f234.", "1234", True),
        ("\\boxed{\\frac{9}{12}}", "\\frac34", True),
        ("The answer is \\frac{1}{2}.", "\\frac12", True),
        ("The answer is $\\frac{1}{2}$, which is 0.5.", "0.5", True),
        ("\\boxed{\\mathrm{Evelyn}}", "\\text{Evelyn}", True),
        ("\\boxed{2\\sqrt{3}+1}", "1+2\\sqrt{3}", True),
        ("\\boxed{\\log_{2} 8}", "3", True),
        ("\\boxed{\\binom{5}{2}}", "10", True),
        ("\\boxed{|x|}", "x", False),
        ("\\boxed{i}", "-i", False),
        ("\\boxed{x^3+2x}", "x(x^2+2)", True),
        ("\\boxed{6.02\\times10^{23}}", "6.02 \\times 10^{23}", True),
        ("\\boxed{\\overline{AB}}", "\\overline{AB}", True),
        ("\\boxed{A}", "\\overline{AB}", False),
        ("\\boxed{\\frac{a}{b}}", "\\frac{b}{a}", False),
        ("\\boxed{\\sin^2 x+\\cos^2 x}", "1", True),
        ("\\boxed{(1, 2, 3)}", "(1,2,3)", True),
        ("\\boxed{x \\le 5}", "x \\leq 5", True),
        ("\\boxed{-\\frac{1}{3}}", "\\frac{-1}{3}", True),
        ("\\boxed{\\frac{1}{-3}}", "-\\frac{1}{3}", True),
        ("\\boxed{\\frac{1}{2}} \\text{ or } \\boxed{\\frac{1}{3}}", "\\frac12", False),
        ("$$\\boxed{42}$$", "42", True),
        ("\\[\\boxed{42}\\]", "42", True),
        ("Answer: 42", "42", True),
        ("**Answer:** $42$", "42", True),
        ("#### 42", "42", True),
        ("The answer is $42$ dollars", "42", True),
        ("The answer is 42 dollars.", "42", True),
        ("The answer is 42 cm", "42", True),
        ("The final answer is: $\\boxed{x=2, y=3}$", "x=2,y=3", True),
        ("\\boxed{p - q}", "q-p", False),
        ("\\boxed{\\text{Yes}}", "Yes", True),
        ("\\boxed{\\text{even}}", "odd", False),
        ("\\boxed{2 \\text{ hours}}", "2\\text{ hours}", True),
        ("\\boxed{2}", "2\\text{ hours}", True),
        ("\\boxed{8\\text{ or }-8}", "8,-8", True),
        ("\\boxed{\\$32{,}000}", "32000", True),
        ("\\boxed{32,\\!000}", "32,000", True),
        ("\\boxed{1,2,3,4}", "4,3,2,1", True),
        ("\\boxed{12,345}", "12345", True),
        ("\\boxed{123,45}", "12345", False),
        ("\\boxed{9:30}", "9:30", True),
        ("\\boxed{\\emptyset}", "\\emptyset", True),
        ("\\boxed{2^{2^{10}}}", "5", False),
        ("\\boxed{7!}", "5040", True),
        ("\\boxed{3\\frac{1}{2}}", "3.5", True),
        ("\\boxed{\\frac{7}{2}}", "3\\frac12", True),
        ("\\boxed{5\\%}", "0.05", True),
        ("\\boxed{5\\%}", "0.5", False),
    ],
)
def test_an_answer_is_right_iff_it_is_the_same_expression(
    response: str, label: str, right: bool
) -> None:
    assert (grade_math(response, label).score == 1.0) == right


def test_nothing_committed_is_unparsed_and_a_cut_box_is_truncated() -> None:
    assert grade_math("I would have to think.", "5").status is Status.UNPARSED
    assert grade_math("", "5").rule == "empty"
    cut = grade_math(r"$\boxed{5}$ so we get $\boxed{7", "5", finish_reason="length")
    assert cut.status is Status.TRUNCATED
    assert grade_math(r"<think>\boxed{5}", "5").status is Status.TRUNCATED


def test_the_span_is_the_box() -> None:
    response = r"We find $\boxed{\frac{1}{2}}$."
    verdict = grade_math(response, "0.5")
    assert verdict.span
    assert response[slice(*verdict.span)] == r"\boxed{\frac{1}{2}}"


def test_a_tower_of_powers_ends_at_the_deadline_and_the_next_comparison_is_unharmed() -> None:
    equivalence = Equivalence(workers=1, cpu_seconds=2.0)
    try:
        assert equivalence.compare("x", "9^{9^{9^{9^{9}}}}") is not Equality.EQUAL
        assert equivalence.compare("(x+1)^2", "x^2+2x+1") is Equality.EQUAL
    finally:
        equivalence.close()


def test_a_worker_that_never_answers_is_replaced() -> None:
    equivalence = Equivalence(workers=1, cpu_seconds=0.05)
    try:
        start = time.monotonic()
        assert equivalence.compare("2", "x^{7^{7^{7^{7}}}}-x^{3^{3^{3^{9}}}}") is not Equality.EQUAL
        assert time.monotonic() - start < 60
        assert equivalence.compare("2x+3", "3+2x") in (Equality.EQUAL, Equality.UNDECIDED)
    finally:
        equivalence.close()


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(GradingError, match="label is empty"):
        grade_math("5", "")
