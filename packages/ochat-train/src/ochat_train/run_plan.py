"""The whole run before it starts: which examples each step holds and by what its loss is divided.

Packing itself is `ochat_data.plan_batches`; this adds the sums that every rank needs, so that no
step has to ask the other ranks for them. A step of `accumulation` batches a rank is planned as one
step of that many more ranks, which is why its loss is exactly that of one large batch, and why the
same plan can be carried on by another number of ranks. Only where a step has fewer batches than
there are ranks is what is left of the run planned anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ochat_data import PackPlan, plan_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import Average, Packing
    from .examples import ExampleSet

_NONE = np.empty(0, np.int64)


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
        sections: where the number of a step's batches changed because the number of ranks did, as
            (first step, batches of a step); empty is ranks times accumulation throughout.
    """

    capacity: int
    world_size: int = 1
    accumulation: int = 1
    seed: int = 0
    packing: Packing = "random"
    average: Average = "weights"
    groups: int = 1
    sections: tuple[tuple[int, int], ...] = ()

    @property
    def slots(self) -> int:
        """Batches of a step from here on, all ranks together."""
        return self.sections[-1][1] if self.sections else self.world_size * self.accumulation


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
        self.epoch_count = epochs
        first, *changes = settings.sections or ((0, settings.slots),)
        self.epochs = [
            plan_epoch(examples[epoch % len(examples)], settings, epoch, slots=first[1])
            for epoch in range(epochs)
        ]
        self._epoch_of = list(range(epochs))
        self._ends = self._count()
        # Step and place in the learning rate's schedule where each section begins.
        self._nominal_steps = self.total_steps
        self._anchor = (0, 0.0)
        for step, slots in changes:
            self._anchor = (step, self.schedule_position(step))
            self._replan(step, slots)

    @property
    def total_steps(self) -> int:
        """Steps of all epochs."""
        return int(self._ends[-1])

    @property
    def nominal_steps(self) -> int:
        """Steps of all epochs as the run was begun, which its learning rates are laid over."""
        return self._nominal_steps

    @property
    def step_tokens(self) -> int:
        """Most tokens of a step, all ranks and batches together."""
        return self.settings.capacity * self.settings.slots

    def schedule_position(self, number: int) -> float:
        """The place of a step among `nominal_steps`: the same share of what was left, done."""
        step, place = self._anchor
        if step == 0:
            return float(number)
        left = max(1, self.total_steps - step)
        return place + (number - step) * (self._nominal_steps - place) / left

    def step(self, number: int, rank: int) -> PlannedStep:
        """The step with this number, counted from 0 over the whole run."""
        part = int(np.searchsorted(self._ends, number, side="right"))
        planned, epoch = self.epochs[part], self._epoch_of[part]
        inside = number - (int(self._ends[part]) - planned.plan.steps)
        several = self.settings.accumulation
        slots = range(rank * several, (rank + 1) * several)
        last_part = part + 1 == len(self.epochs) or self._epoch_of[part + 1] != epoch
        return PlannedStep(
            epoch=epoch,
            source=planned.source,
            # Where the batches do not divide by the ranks, the last rank has fewer.
            batches=tuple(
                planned.plan.batch(inside, slot) if slot < planned.plan.world_size else _NONE
                for slot in slots
            ),
            denominator=float(planned.denominators[inside]),
            tokens=int(planned.tokens[inside]),
            squares=int(planned.squares[inside]),
            ends_epoch=last_part and number + 1 == int(self._ends[part]),
        )

    def _count(self) -> np.ndarray:
        return np.cumsum([part.plan.steps for part in self.epochs])

    def _replan(self, step: int, slots: int) -> None:
        """Plans what is left after `step` steps anew, in steps of `slots` batches."""
        if step >= self.total_steps:
            return
        part = int(np.searchsorted(self._ends, step, side="right"))
        current, epoch = self.epochs[part], self._epoch_of[part]
        inside = step - (int(self._ends[part]) - current.plan.steps)
        cut = int(current.plan.offsets[inside * current.plan.world_size])
        # Sorted, so that the new order depends on what is left and not on how it was packed.
        left = np.sort(current.plan.indices[cut:])
        parts = [] if inside == 0 else [_first_steps(current, inside)]
        parts.append(plan_epoch(current.source, self.settings, epoch, slots=slots, among=left))
        numbers = [epoch] * len(parts)
        for later, number in zip(self.epochs[part + 1 :], self._epoch_of[part + 1 :], strict=True):
            parts.append(plan_epoch(later.source, self.settings, number, slots=slots))
            numbers.append(number)
        self.epochs[part:], self._epoch_of[part:] = parts, numbers
        self._ends = self._count()


def _first_steps(part: EpochPlan, steps: int) -> EpochPlan:
    """A plan that ends after `steps` steps."""
    plan = part.plan
    offsets = plan.offsets[: steps * plan.world_size + 1]
    return EpochPlan(
        source=part.source,
        plan=replace(plan, steps=steps, indices=plan.indices[: offsets[-1]], offsets=offsets),
        denominators=part.denominators[:steps],
        tokens=part.tokens[:steps],
        squares=part.squares[:steps],
    )


def plan_epoch(
    examples: ExampleSet,
    settings: PlanSettings,
    epoch: int,
    *,
    slots: int | None = None,
    among: np.ndarray | None = None,
) -> EpochPlan:
    """Packs one epoch and sums up its steps.

    Args:
        examples: to pack.
        settings: how.
        epoch: which one, from 0.
        slots: batches of a step; None is as the settings say.
        among: indices of the examples that are left of the epoch; None is all.
    """
    slots = settings.slots if slots is None else slots
    plan = plan_batches(
        examples.lengths if among is None else examples.lengths[among],
        capacity=settings.capacity,
        world_size=slots,
        seed=settings.seed,
        epoch=epoch,
        mode=settings.packing,
    )
    if among is not None:
        plan = replace(plan, indices=among[plan.indices])
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
