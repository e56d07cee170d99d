from __future__ import annotations

import numpy as np
import pytest

from ochat_eval import Status, Tally, wilson_interval
from ochat_eval.tally import mean_accuracy_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_wilson_interval_equals_published_values(
    successes: int, n: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_nothing_says_nothing_and_of_all_reaches_one() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(20, 20)[1] == 1.0


def test_errors_are_outside_the_accuracy_and_unparsed_responses_inside() -> None:
    tally = Tally.of([Status.CORRECT, Status.UNPARSED, Status.ERROR, Status.TRUNCATED])
    assert (tally.n, tally.accuracy, tally.error) == (3, pytest.approx(1 / 3), 1)


def test_the_interval_of_a_macro_average_holds_the_truth() -> None:
    """Five groups of 8 to 200 questions, 1,000 draws: 95 % must hold it, 93 % at the least."""
    draw = np.random.default_rng(5)
    truths, sizes = (0.95, 0.6, 0.3, 0.8, 0.5), (8, 200, 60, 30, 12)
    truth, held = sum(truths) / len(truths), 0
    for _ in range(1000):
        groups = list[Tally]()
        for chance, size in zip(truths, sizes, strict=True):
            correct = int(draw.binomial(size, chance))
            groups.append(Tally(correct=correct, incorrect=size - correct))
        low, high = mean_accuracy_interval(groups)
        held += low <= truth <= high
    assert 930 <= held <= 985


def test_the_interval_of_one_group_is_about_its_own_and_of_none_says_nothing() -> None:
    one = Tally(correct=60, incorrect=40)
    assert mean_accuracy_interval([one]) == pytest.approx(one.interval, abs=0.002)
    assert mean_accuracy_interval([Tally(error=3)]) == (0.0, 1.0)
    low, high = mean_accuracy_interval([Tally(correct=5), Tally(correct=5)])
    assert (high, low) == (1.0, pytest.approx(Tally(correct=10).interval[0]))
