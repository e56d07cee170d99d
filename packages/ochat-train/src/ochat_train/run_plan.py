"""The whole run before it starts: which examples each step holds and by what its loss is divided.

Packing itself is `ochat_data.plan_batches`; this adds the sums that every rank needs, so that no
step has to ask the other ranks for them. A step of `accumulation` batches a rank is planned as one
step of that many more ranks, which is why its loss is exactly that of one large batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ochat_data import PackPlan, plan_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import Average, Packing
    from .examples import ExampleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """How epochs are planned; the same on every rank.

    Attributes:
        capacity: most tokens in a batch.
        world_size: ranks.
        accumulation: batches of a rank in a step.
        seed: of the order.
        packing: mode of `ochat_data.plan_batches`.
        average: a step's loss is divided by the loss weights of its predicted tokens; or by its
            sequences times `groups`, which is OpenChat's `--no_weighted_average`.
        groups: kinds of sources that a row of the data could hold.
    """

    capacity: int
    world_size: int = 1
    accumulation: int = 1
    seed: int = 0
    packing: Packing = "random"
    average: Average = "weights"
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of the run.

    Attributes:
        epoch: from 0.
        source: where the examples are.
        batches: the asking rank's, each with its examples, int64.
        denominator: what the step's loss is divided by.
        tokens: over all ranks.
        squares: sum of the squares of the lengths, over all ranks.
        ends_epoch: whether the epoch ends with this step.
    """

    epoch: int
    source: ExampleSet
    batches: tuple[np.ndarray, ...]
    denominator: float
    tokens: int
    squares: int
    ends_epoch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """A packing plan with the sums of its steps.

    Attributes:
        source: the examples.
        plan: which example is where; its ranks are ranks times batches of a step.
        denominators: float64 `(steps,)`.
        tokens: int64 `(steps,)`, over all ranks.
        squares: int64 `(steps,)`, likewise of the squares of the lengths.
    """

    source: ExampleSet
    plan: PackPlan
    denominators: np.ndarray
    tokens: np.ndarray
    squares: np.ndarray


class RunPlan:
    """All epochs of a run; the same on every rank."""

    def __init__(
        self, examples: Sequence[ExampleSet], settings: PlanSettings, *, epochs: int
    ) -> None:
        """Plans every epoch.

        Args:
            examples: of each epoch in turn; one set serves all.
            settings: how.
            epochs: how many.

        Raises:
            ochat_data.PackingError: an example does not fit into a batch.
        """
        self.settings = settings
        self.epochs = [
            plan_epoch(examples[epoch % len(examples)], settings, epoch) for epoch in range(epochs)
        ]
        self._ends = np.cumsum([epoch.plan.steps for epoch in self.epochs])

    @property
    def total_steps(self) -> int:
        """Steps of all epochs."""
        return int(self._ends[-1])

    @property
    def step_tokens(self) -> int:
        """Most tokens of a step, all ranks and batches together."""
        settings = self.settings
        return settings.capacity * settings.world_size * settings.accumulation

    def step(self, number: int, rank: int) -> PlannedStep:
        """The step with this number, counted from 0 over the whole run."""
        epoch = int(np.searchsorted(self._ends, number, side="right"))
        planned = self.epochs[epoch]
        inside = number - (int(self._ends[epoch]) - planned.plan.steps)
        several = self.settings.accumulation
        slots = range(rank * several, (rank + 1) * several)
        return PlannedStep(
            epoch=epoch,
            source=planned.source,
            batches=tuple(planned.plan.batch(inside, slot) for slot in slots),
            denominator=float(planned.denominators[inside]),
            tokens=int(planned.tokens[inside]),
            squares=int(planned.squares[inside]),
            ends_epoch=number + 1 == int(self._ends[epoch]),
        )


def plan_epoch(examples: ExampleSet, settings: PlanSettings, epoch: int) -> EpochPlan:
    """Packs one epoch and sums up its steps."""
    slots = settings.world_size * settings.accumulation
    plan = plan_batches(
        examples.lengths,
        capacity=settings.capacity,
        world_size=slots,
        seed=settings.seed,
        epoch=epoch,
        mode=settings.packing,
    )
    borders = plan.offsets[::slots]
    if settings.average == "sequences":
        denominators = np.diff(borders).astype(np.float64) * settings.groups
    else:
        denominators = _sums(examples.loss_weights[plan.indices], borders)
    lengths = examples.lengths[plan.indices]
    return EpochPlan(
        source=examples,
        plan=plan,
        denominators=denominators,
        tokens=_sums(lengths, borders),
        squares=_sums(lengths * lengths, borders),
    )


def _sums(values: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Sums of the runs of `values` between consecutive `borders`."""
    running = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
    return np.diff(running[borders])
