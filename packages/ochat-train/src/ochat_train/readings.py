"""What the loop reads of its steps: sums over the ranks, and the events made of them.

Reading waits for the device, so several steps are read at once. A step's figures are one row:
loss, positions predicted rightly, supervised positions; then for each condition and each source its
weighted sum of losses, its sum of weights, and the same two counts.
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
    from .examples import ExampleSet
    from .loop import LoopParts
    from .run_plan import PlannedStep

_OF_STEP, _OF_GROUP = 3, 4
# Of more sources than these nobody could read a chart.
_MOST_SOURCES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingStep:
    """A step whose sums are still on the device.

    Attributes:
        number: steps done with it.
        planned: what was planned.
        lr: its learning rate.
        sums: what the engine knows.
        groups: condition and source of this rank's sequences; both "" for a rank without work.
        of_sequences: float64 `(sequences, 2)`, weights and supervised positions of each.
    """

    number: int
    planned: PlannedStep
    lr: float
    sums: StepSums
    groups: tuple[tuple[str, str], ...]
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
            groups=tuple(
                pair for examples in planned.batches for pair in _groups(planned.source, examples)
            ),
            of_sequences=np.concatenate([batch.sums for batch in batches]),
        )


class Readings:
    """The steps since the last reading."""

    def __init__(self, parts: LoopParts) -> None:
        """Takes the loop's parts."""
        self._parts = parts
        sets = [epoch.source for epoch in parts.plan.epochs]
        conditions = sorted({name for examples in sets for name in examples.conditions})
        sources = sorted({name for examples in sets for name in examples.sources})
        told_apart = sources if 1 < len(sources) <= _MOST_SOURCES else []
        # Each way to group sequences: its name in an event, and its groups.
        self._groupings = (("conditions", conditions), ("sources", told_apart))
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
        columns = np.stack(
            [figures[:, 0], step.of_sequences[:, 0], figures[:, 1], step.of_sequences[:, 1]], axis=1
        )
        parts = [np.array([float(step.sums.loss), columns[:, 2].sum(), columns[:, 3].sum()])]
        for place, (_, names) in enumerate(self._groupings):
            sums = np.zeros((len(names), _OF_GROUP))
            for number, name in enumerate(names):
                sums[number] = columns[[pair[place] == name for pair in step.groups]].sum(axis=0)
            parts.append(sums.ravel())
        return np.concatenate(parts)

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
            **self._by_group(row[_OF_STEP:]),
        }

    def _by_group(self, row: np.ndarray) -> dict[str, dict[str, dict[str, float]]]:
        """Figures by condition, and by source where there are several and not too many."""
        told: dict[str, dict[str, dict[str, float]]] = {}
        for key, names in self._groupings:
            if not names:
                continue
            own, row = row[: len(names) * _OF_GROUP], row[len(names) * _OF_GROUP :]
            told[key] = {
                name: {"loss": loss / weight, "accuracy": hits / count, "tokens": int(count)}
                for name, (loss, weight, hits, count) in zip(
                    names, own.reshape(-1, _OF_GROUP).tolist(), strict=True
                )
                if count
            }
        return told


def _groups(examples: ExampleSet, indices: np.ndarray) -> list[tuple[str, str]]:
    """Condition and source of a batch's sequences; an empty batch holds one of neither."""
    if not len(indices):
        return [("", "")]
    return [(examples.conditions[index], examples.sources[index]) for index in indices.tolist()]
