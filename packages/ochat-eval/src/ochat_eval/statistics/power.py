"""How likely a gain of a given size is to be found by the exact McNemar test, and the smallest one.

Both follow from the number of questions and from how often two runs differ on one.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from ochat_eval.statistics.intervals import Floats

_SIGNIFICANT, _WANTED = 0.05, 0.8


def power(n: int, gain: float, flips: float, *, significant: float = _SIGNIFICANT) -> float:
    """The chance that exact McNemar finds a gain, two-sided, whichever the direction.

    Args:
        n: Questions that both runs answer.
        gain: By how much the second run is better, 0.04 for 4 points.
        flips: Share of questions that only one of the two gets right; never below the gain.
        significant: The level of the test.
    """
    flips = min(max(flips, abs(gain)), 1.0)
    if n < 1 or flips <= 0.0:
        return 0.0
    wins = (flips + gain) / (2 * flips)
    counts = np.arange(n + 1)
    chances = np.exp(_log_binomial(n, flips))
    likely = counts[chances > 1e-9]
    found = sum(float(chances[m]) * _rejected(int(m), wins, significant) for m in likely)
    return min(1.0, found)


def detectable(
    n: int, flips: float, *, wanted: float = _WANTED, significant: float = _SIGNIFICANT
) -> float | None:
    """The smallest gain that is found with the wanted power; None where not even 1 would be."""
    if power(n, 1.0, flips, significant=significant) < wanted:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        if power(n, middle, flips, significant=significant) < wanted:
            low = middle
        else:
            high = middle
    return high


def expected_flips(first: float, second: float, correlation: float) -> float:
    """How many questions only one of two runs gets right, where no run is there to count.

    Args:
        first: Accuracy of one.
        second: Accuracy of the other.
        correlation: Of being right on the same question; 0.6 is common between versions.
    """
    spread = math.sqrt(first * (1 - first) * second * (1 - second))
    both = first * second + correlation * spread
    both = min(max(both, first + second - 1.0, 0.0), first, second)
    return first + second - 2 * both


def _rejected(flips: int, wins: float, significant: float) -> float:
    """The chance that so many flips, each a win with chance `wins`, split unevenly enough."""
    edge = _edge(flips, significant)
    if edge < 0:
        return 0.0
    chances = np.exp(_log_binomial(flips, wins))
    return float(chances[: edge + 1].sum() + chances[flips - edge :].sum())


@functools.cache
def _edge(flips: int, significant: float) -> int:
    """The most wins of the fewer kind at which the test still rejects; -1 where it never does."""
    tail = np.cumsum(np.exp(_log_binomial(flips, 0.5)))
    below = np.flatnonzero(2 * tail[: flips // 2 + 1] < significant)
    return int(below[-1]) if len(below) else -1


def _log_binomial(n: int, share: float) -> Floats:
    """Log chances of 0 to n successes."""
    counts = np.arange(n + 1)
    if share <= 0.0 or share >= 1.0:
        certain = np.full(n + 1, -np.inf)
        certain[n if share >= 1.0 else 0] = 0.0
        return certain
    factorials = _log_factorials(1 << n.bit_length())
    ways = factorials[n] - factorials[counts] - factorials[n - counts]
    return ways + counts * math.log(share) + (n - counts) * math.log1p(-share)


@functools.cache
def _log_factorials(most: int) -> NDArray[np.float64]:
    """Of 0 to `most`, a power of two, so that few tables are kept."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
