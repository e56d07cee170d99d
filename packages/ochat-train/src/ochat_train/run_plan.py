"""The whole run before it starts: which examples each step holds and by what its loss is divided.

Packing itself is `ochat_data.plan_batches`; this adds the sums that every rank needs, so that no
step has to ask the other ranks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ochat_data import PackPlan, plan_batches

from .errors import DataError

if TYPE_CHECKING:
    from ochat_data import TokenSplit


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of the run.

    Attributes:
        epoch: from 0.
        examples: int64, the examples of the asking rank.
        denominator: sum of the loss weights over all ranks.
        tokens: tokens over all ranks.
        ends_epoch: whether the epoch ends with this step.
    """

    epoch: int
    examples: np.ndarray
    denominator: float
    tokens: int
    ends_epoch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """A packing plan with the sums of its steps.

    Attributes:
        plan: which example is where.
        denominators: float64 `(steps,)`, sum of the loss weights over all ranks.
        tokens: int64 `(steps,)`, tokens over all ranks.
    """

    plan: PackPlan
    denominators: np.ndarray
    tokens: np.ndarray


class RunPlan:
    """All epochs of a run; the same on every rank."""

    def __init__(
        self, split: TokenSplit, *, capacity: int, world_size: int, seed: int, epochs: int
    ) -> None:
        """Plans `epochs` passes over `split`.

        Raises:
            DataError: nothing in the split is supervised.
            ochat_data.PackingError: an example is longer than `capacity`.
        """
        if not np.any(split.loss_weights > 0):
            raise DataError(
                "no token of the training split has a loss weight, so there is nothing to learn; "
                "check the weights and roles of the conversations before tokenizing"
            )
        self.capacity = capacity
        self.world_size = world_size
        self.epochs = [
            plan_epoch(split, capacity=capacity, world_size=world_size, seed=seed, epoch=epoch)
            for epoch in range(epochs)
        ]
        self._ends = np.cumsum([epoch.plan.steps for epoch in self.epochs])

    @property
    def total_steps(self) -> int:
        """Steps of all epochs."""
        return int(self._ends[-1])

    def step(self, number: int, rank: int) -> PlannedStep:
        """The step with this number, counted from 0 over the whole run."""
        epoch = int(np.searchsorted(self._ends, number, side="right"))
        planned = self.epochs[epoch]
        inside = number - (int(self._ends[epoch]) - planned.plan.steps)
        return PlannedStep(
            epoch=epoch,
            examples=planned.plan.batch(inside, rank),
            denominator=float(planned.denominators[inside]),
            tokens=int(planned.tokens[inside]),
            ends_epoch=number + 1 == int(self._ends[epoch]),
        )


def plan_epoch(
    split: TokenSplit, *, capacity: int, world_size: int, seed: int, epoch: int
) -> EpochPlan:
    """Packs one epoch and sums up its steps."""
    plan = plan_batches(
        split.lengths, capacity=capacity, world_size=world_size, seed=seed, epoch=epoch
    )
    borders = plan.offsets[::world_size]
    return EpochPlan(
        plan=plan,
        denominators=_sums(split.loss_weights[plan.indices], borders),
        tokens=_sums(split.lengths[plan.indices], borders),
    )


def _sums(values: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Sums of the runs of `values` between consecutive `borders`."""
    running = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
    return np.diff(running[borders])
