from __future__ import annotations

import pytest

from ochat_eval import Status, Tally, wilson_interval


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
