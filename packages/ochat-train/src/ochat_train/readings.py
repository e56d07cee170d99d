"""What the loop reads of its steps: sums over the ranks, and the events made of them.

Reading waits for the device, so several steps are read at once. A step's figures are one row:
loss, positions predicted rightly, supervised positions; then for each condition its weighted sum of
losses, its sum of weights, and the same two counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .batch import PackedBatch
    from .engine import StepSums
    from .loop import LoopParts
    from .run_plan import PlannedStep

_OF_STEP, _OF_CONDITION = 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingStep:
    """A step whose sums are still on the device.

    Attributes:
        number: steps done with it.
        planned: what was planned.
        lr: its learning rate.
        sums: what the engine knows.
        conditions: of this rank's sequences.
        of_sequences: float64 `(sequences, 2)`, weights and supervised positions of each.
    """

    number: int
    planned: PlannedStep
    lr: float
    sums: StepSums
    conditions: tuple[str, ...]
    of_sequences: np.ndarray

    @classmethod
    def of(
        cls,
        *,
        number: int,
        planned: PlannedStep,
        lr: float,
        sums: StepSums,
        batches: Sequence[PackedBatch],
    ) -> PendingStep:
        """Keeps of a step's batches what its events need."""
        return cls(
            number=number,
            planned=planned,
            lr=lr,
            sums=sums,
            conditions=tuple(name for batch in batches for name in batch.conditions),
            of_sequences=np.concatenate([batch.sums for batch in batches]),
        )


class Readings:
    """The steps since the last reading."""

    def __init__(self, parts: LoopParts) -> None:
        """Takes the loop's parts."""
        self._parts = parts
        self._names = sorted(
            {name for epoch in parts.plan.epochs for name in epoch.source.conditions}
        )
        self._places = {name: place for place, name in enumerate(self._names)}
        self.pending: list[PendingStep] = []
        self.last_loss: float | None = None

    def wait(self) -> tuple[np.ndarray, bool]:
        """Waits for the device, and sums over the ranks what they know.

        Returns:
            One row a pending step (see the module for its columns), and whether any rank was asked
            to stop, which all ranks learn at the same step this way.
        """
        rows = np.stack([self._row(step) for step in self.pending])
        asked = np.full((len(rows), 1), float(bool(self._parts.stop.reason)))
        told = torch.from_numpy(np.concatenate([rows, asked], axis=1))
        summed = self._parts.engine.sum_over_ranks(told).numpy()
        return summed[:, :-1], bool(summed[-1, -1])

    def _row(self, step: PendingStep) -> np.ndarray:
        figures = step.sums.sequences.double().cpu().numpy()
        by_condition = np.zeros((len(self._names), _OF_CONDITION))
        columns = np.stack(
            [figures[:, 0], step.of_sequences[:, 0], figures[:, 1], step.of_sequences[:, 1]], axis=1
        )
        # A rank without work in the last step holds one sequence without condition.
        places = [self._places.get(name, 0) for name in step.conditions]
        np.add.at(by_condition, places, columns)
        hits, supervised = by_condition[:, 2].sum(), by_condition[:, 3].sum()
        return np.concatenate([[float(step.sums.loss), hits, supervised], by_condition.ravel()])

    def events(self, rows: np.ndarray, seconds: float) -> list[dict[str, object]]:
        """The events of the pending steps.

        Args:
            rows: as `wait` gave them.
            seconds: that the steps took together.

        Raises:
            DivergedError: a loss or gradient norm is not finite.
        """
        tokens = sum(step.planned.tokens for step in self.pending)
        supervised = float(rows[:, 2].sum())
        flops = self.flops()
        speed = {
            "tokens_per_second": tokens / seconds,
            "supervised_per_second": supervised / seconds,
            "flops_per_second": flops / seconds,
            "mfu": flops / seconds / self._parts.peak_flops if self._parts.peak_flops else None,
        }
        return [
            {**self._event(step, row), **speed}
            for step, row in zip(self.pending, rows, strict=True)
        ]

    def flops(self) -> float:
        """Model flops of the pending steps, over all ranks."""
        planned = [step.planned for step in self.pending]
        return sum(self._parts.flops(step.tokens, step.squares) for step in planned)

    def _event(self, step: PendingStep, row: np.ndarray) -> dict[str, object]:
        loss, hits, supervised = row[:_OF_STEP].tolist()
        norm = None if step.sums.grad_norm is None else float(step.sums.grad_norm)
        if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
            place = self._parts.keep_diverged(step.number, step.planned)
            raise DivergedError(
                f"step {step.number} has loss {loss} and gradient norm {norm}: training diverged; "
                "lower --lr or raise --warmup-steps, and start from the last checkpoint or anew; "
                f"this rank's share of the step is in {place}"
            )
        self.last_loss = loss
        return {
            "event": "train",
            "step": step.number,
            "epoch": step.planned.epoch + 1,
            "loss": loss,
            "accuracy": hits / supervised if supervised else None,
            "lr": step.lr,
            "grad_norm": norm,
            "tokens": step.planned.tokens,
            "supervised_tokens": int(supervised),
            "fill": step.planned.tokens / self._parts.plan.step_tokens,
            "conditions": self._by_condition(row[_OF_STEP:].reshape(-1, _OF_CONDITION)),
        }

    def _by_condition(self, rows: np.ndarray) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for name, (loss, weight, hits, supervised) in zip(self._names, rows.tolist(), strict=True):
            if supervised:
                found[name] = {
                    "loss": loss / weight,
                    "accuracy": hits / supervised,
                    "tokens": int(supervised),
                }
        return found
