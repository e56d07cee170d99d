"""Intervals of means: of shares that stay within 0 and 1, of clustered values, and by resampling.

What the values mean is their maker's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean with its standard error and 95 % interval.

    Attributes:
        value: The mean.
        error: Its standard error; None where one value or cluster alone cannot tell.
        interval: 95 %.
        n: How many values.
        clusters: How many independent ones.
    """

    value: float
    error: float | None
    interval: tuple[float, float]
    n: int
    clusters: int


def mean_of_share(values: ArrayLike, clusters: Sequence[object] | None = None) -> Mean:
    """The mean of values within 0 and 1, with a Wilson interval.

    The interval is Wilson's at the size of sample that a plain count with the same standard error
    would have. With all values 0 or 1 and no clusters it is Wilson's own, but for n - 1; it never
    leaves 0 to 1 and does not shrink to nothing where all values agree.

    Args:
        values: Each from 0 to 1; at least one.
        clusters: What each belongs to, where values of the same are not independent.
    """
    x = np.asarray(values, float)
    value, (error, count) = float(x.mean()), _clustered(x, clusters)
    size = float(count)
    if error and 0.0 < value < 1.0:
        size = value * (1.0 - value) / error**2
    return Mean(value=value, error=error, interval=wilson(value, size), n=len(x), clusters=count)


def mean_of(values: ArrayLike, clusters: Sequence[object] | None = None) -> Mean:
    """The mean of any values, with the normal interval: mean -+ 1.96 standard errors.

    Args:
        values: At least one.
        clusters: What each belongs to, where values of the same are not independent.
    """
    x = np.asarray(values, float)
    value, (error, count) = float(x.mean()), _clustered(x, clusters)
    spread = Z95 * error if error is not None else math.inf
    return Mean(
        value=value,
        error=error,
        interval=(value - spread, value + spread),
        n=len(x),
        clusters=count,
    )


def wilson(share: float, n: float, *, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a share; n need not be whole."""
    square = z * z
    centre = share + square / (2 * n)
    spread = z * math.sqrt(max(share * (1 - share), 0.0) / n + square / (4 * n * n))
    low, high = (centre - spread) / (1 + square / n), (centre + spread) / (1 + square / n)
    return (0.0 if share <= 0 else max(low, 0.0)), (1.0 if share >= 1 else min(high, 1.0))


def numbered(clusters: Sequence[object]) -> NDArray[np.int64]:
    """Each cluster as a number from 0, in the order of first sight."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(each, len(known)) for each in clusters], np.int64)


def resampled(
    clusters: NDArray[np.int64], *, draws: int, seed: int, block: int = 250
) -> list[Floats]:
    """Weights of a bootstrap over clusters: blocks of (draws, values), each how often it came."""
    generator, count = np.random.default_rng(seed), int(clusters.max()) + 1
    chances, blocks = np.full(count, 1.0 / count), list[Floats]()
    for start in range(0, draws, block):
        drawn = generator.multinomial(count, chances, size=min(block, draws - start))
        blocks.append(drawn[:, clusters].astype(float))
    return blocks


def bootstrap(
    statistic: Callable[[Floats], Floats],
    clusters: NDArray[np.int64],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, tuple[float, float]]:
    """Standard error and 95 % percentile interval of a statistic, over resampled clusters.

    Args:
        statistic: From weights (draws, values) to the statistic of each draw.
        clusters: Number of the cluster of each value, from 0.
        draws: How many.
        seed: Of the draws; the same one gives the same interval.
    """
    found = np.concatenate(
        [statistic(weights) for weights in resampled(clusters, draws=draws, seed=seed)]
    )
    low, high = np.quantile(found, (0.025, 0.975))
    return float(found.std(ddof=1)), (float(low), float(high))


def _clustered(x: Floats, clusters: Sequence[object] | None) -> tuple[float | None, int]:
    """Standard error of the mean (n - 1; by clusters where there are any), and their number."""
    if not len(x):
        raise ValueError("a mean needs at least one value")
    if clusters is None:
        count = len(x)
        return (float(x.std(ddof=1) / math.sqrt(count)) if count > 1 else None), count
    numbers = numbered(clusters)
    count = int(numbers.max()) + 1
    if count < 2:
        return None, count
    sums = np.bincount(numbers, weights=x - x.mean(), minlength=count)
    return float(math.sqrt(count / (count - 1) * float(sums @ sums)) / len(x)), count
