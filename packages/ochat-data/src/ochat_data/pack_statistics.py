"""Measures a packing plan: how full, how even over the ranks, and how much like random batches.

Reads the plan and the lengths only; the figures are over all steps but the last, which is trained
like any other and reported apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import PackingError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .packing import PackPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class PackStatistics:
    """Figures of one plan; where a plan has no full step they are None.

    Attributes:
        steps: Number of steps, the last included.
        fill: Tokens / (ranks x capacity x steps); 1 is the limit.
        cost_imbalance: Mean over steps of max/mean over ranks of the sum of length squared.
        token_imbalance: The same of the sum of lengths.
        homogeneity: Standard deviation over steps of the mean log-length, divided by what random
            steps of the same sizes would show; 1 is like random batches, above 1 is sorted.
        last_step_fill: Fill of the last step.
        dropped: Examples that no batch holds.
    """

    steps: int
    fill: float | None
    cost_imbalance: float | None
    token_imbalance: float | None
    homogeneity: float | None
    last_step_fill: float
    dropped: int


def pack_statistics(plan: PackPlan, lengths: ArrayLike) -> PackStatistics:
    """Measures a plan.

    Args:
        plan: The plan.
        lengths: The lengths that it was made from, integers `(examples,)`.

    Raises:
        PackingError: The plan is empty or of other examples than these.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if not plan.steps or plan.indices.max() >= len(sizes):
        raise PackingError("the plan has no steps, or is not of these lengths")
    packed = sizes[plan.indices]
    tokens = _per_batch(plan, packed)
    full, step_capacity = plan.steps - 1, plan.capacity * plan.world_size
    return PackStatistics(
        steps=plan.steps,
        fill=float(tokens[:-1].sum()) / (full * step_capacity) if full else None,
        cost_imbalance=_imbalance(_per_batch(plan, packed * packed)[:-1]),
        token_imbalance=_imbalance(tokens[:-1]),
        homogeneity=_homogeneity(plan, packed),
        last_step_fill=float(tokens[-1].sum()) / step_capacity,
        dropped=len(sizes) - len(np.unique(plan.indices)),
    )


def _per_batch(plan: PackPlan, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of `values` (examples in plan order) per batch, `(steps, ranks)`."""
    running = np.concatenate([[0], np.cumsum(values)])
    sums = running[plan.offsets[1:]] - running[plan.offsets[:-1]]
    return sums.reshape(plan.steps, plan.world_size)


def _imbalance(sums: NDArray[np.int64]) -> float | None:
    """Mean over steps of max/mean over ranks."""
    if not len(sums):
        return None
    return float((sums.max(axis=1) / sums.mean(axis=1)).mean())


def _homogeneity(plan: PackPlan, packed: NDArray[np.int64]) -> float | None:
    starts = plan.offsets[:: plan.world_size]
    logs = np.log(packed)
    counts = np.diff(starts)[:-1]
    if len(counts) < 2 or logs.std() == 0.0:
        return None
    running = np.concatenate([[0.0], np.cumsum(logs)])
    means = np.diff(running[starts])[:-1] / counts
    # A random step of n examples has variance sigma^2 / n.
    expected = logs.std() * np.sqrt((1.0 / counts).mean())
    return float(means.std() / expected)
