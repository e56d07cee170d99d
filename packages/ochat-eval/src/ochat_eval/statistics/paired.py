"""Two runs on the same questions: resampled intervals, and p-values of several tasks together.

Pairing the runs' files is the business of `ochat_eval.pairing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ochat_eval.statistics.intervals import Floats, bootstrap, numbered


def paired_interval(
    differences: Sequence[int], clusters: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the mean difference, resampling questions, or clusters of them.

    Args:
        differences: 1 where only the second run was right, -1 where only the first, else 0.
        clusters: Of each question; an empty one is a cluster of its own.
        draws: Of the bootstrap.
        seed: Of the bootstrap.
    """
    values = np.asarray(differences, float)
    names = [name or f"\0{index}" for index, name in enumerate(clusters)]

    def mean(weights: Floats) -> Floats:
        return (weights @ values) / weights.sum(axis=1)

    return bootstrap(mean, numbered(names), draws=draws, seed=seed)[1]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: below 0.05 there, the chance of any false alarm is below 0.05."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, p_values[name] * (len(ordered) - rank)))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
