"""The training loop: steps in the order of the plan, readings, held-out loss, checkpoints.

Who computes a step is the engine's business, what its figures mean is said in `readings`, what a
checkpoint holds is its caller's.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .batch import collate
from .errors import StoppedError
from .held_out import evaluate_held_out
from .progress import StepFigures
from .readings import PendingStep, Readings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .engine import Engine
    from .flops import StepFlops
    from .held_out import HeldOutResult
    from .metrics import MetricsSink
    from .progress import Progress
    from .run_plan import EpochPlan, PlannedStep, RunPlan
    from .schedule import CosineSchedule
    from .stopping import StopRequest

_RECENT_READINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopParts:
    """What the loop works with.

    Attributes:
        engine: computes steps.
        plan: the whole run.
        schedule: learning rate by step.
        flops: model flops of a step.
        peak_flops: of all devices together; None where unknown.
        held_out: the plan of the held-out examples, None where there are none.
        metrics: where events go; none on ranks that write nothing.
        progress: what a person sees.
        read_every: steps between two readings of the losses.
        checkpoint_steps: steps between checkpoints inside an epoch, None for none.
        checkpoint: writes a checkpoint after so many steps and tokens.
        stop: whether this rank was asked to stop.
        keep_diverged: keeps this rank's share of a step whose loss is no number; returns where.
    """

    engine: Engine
    plan: RunPlan
    schedule: CosineSchedule
    flops: StepFlops
    peak_flops: float | None
    held_out: EpochPlan | None
    metrics: Sequence[MetricsSink]
    progress: Progress
    read_every: int
    checkpoint_steps: int | None
    checkpoint: Callable[[int, int], None]
    stop: StopRequest
    keep_diverged: Callable[[int, PlannedStep], str]


class TrainingLoop:
    """Runs a plan from some step to its end."""

    def __init__(self, parts: LoopParts, *, step: int = 0, tokens: int = 0) -> None:
        """Starts after `step` steps that trained `tokens` tokens."""
        self._parts = parts
        self.step = step
        self.tokens = tokens
        self.held_out: list[HeldOutResult] = []
        self.last_loss: float | None = None
        self._readings = Readings(parts)
        self._stop_asked = False
        self._recent: deque[tuple[int, float, float, float]] = deque(maxlen=_RECENT_READINGS)
        self._first_step, self._first_tokens = step, tokens
        self._read_at = time.perf_counter()

    def run(self) -> None:
        """Trains to the end of the plan.

        Raises:
            DivergedError: a loss or gradient norm is not finite; checkpoints stay usable.
            StoppedError: the run was asked to stop; it wrote a checkpoint.
        """
        parts = self._parts
        parts.engine.model.train()
        self._read_at = time.perf_counter()
        while self.step < parts.plan.total_steps:
            planned = parts.plan.step(self.step, parts.engine.data_rank)
            self._train(planned)
            if len(self._readings.pending) >= parts.read_every or planned.ends_epoch:
                self._read()
            self._show(planned)
            if planned.ends_epoch:
                self._end_epoch(planned)
            elif self._stop_asked or (
                parts.checkpoint_steps and self.step % parts.checkpoint_steps == 0
            ):
                self._checkpoint()
            if self._stop_asked and self.step < parts.plan.total_steps:
                reason = parts.stop.reason or "another rank"
                raise StoppedError(
                    f"stopped by {reason} after step {self.step} of {parts.plan.total_steps}; its "
                    "checkpoint is written, so the same command with --resume goes on"
                )

    def _train(self, planned: PlannedStep) -> None:
        parts = self._parts
        batches = [
            parts.engine.own(collate([planned.source.example(int(index)) for index in examples]))
            for examples in planned.batches
        ]
        lr = parts.schedule(parts.plan.schedule_position(self.step))
        sums = parts.engine.train_step(batches, planned.denominator, lr)
        self.step += 1
        self.tokens += planned.tokens
        self._readings.pending.append(
            PendingStep.of(number=self.step, planned=planned, lr=lr, sums=sums, batches=batches)
        )

    def _read(self) -> None:
        """Waits for the device and writes the events of all steps since the last reading."""
        if not self._readings.pending:
            return
        totals, stopping = self._readings.wait()
        self._stop_asked = self._stop_asked or stopping
        now = time.perf_counter()
        seconds, self._read_at = now - self._read_at, now
        events = self._readings.events(totals, seconds)
        self.last_loss = self._readings.last_loss
        supervised = float(totals[:, 2].sum())
        self._recent.append((len(events), supervised, self._readings.flops(), seconds))
        self._readings.pending.clear()
        for sink in self._parts.metrics:
            sink.write(*events)

    def _show(self, planned: PlannedStep) -> None:
        parts, plan = self._parts, self._parts.plan
        steps, supervised, flops, seconds = (
            (sum(column) for column in zip(*self._recent, strict=True))
            if self._recent
            else (0, 0.0, 0.0, 0.0)
        )
        done = self.step - self._first_step
        peak = parts.peak_flops
        parts.progress.update(
            StepFigures(
                step=self.step,
                total_steps=plan.total_steps,
                epoch=planned.epoch + 1,
                epochs=plan.epoch_count,
                loss=self.last_loss,
                supervised_per_second=supervised / seconds if seconds else 0.0,
                fill=(self.tokens - self._first_tokens) / (done * plan.step_tokens),
                mfu=flops / seconds / peak if seconds and peak else None,
                seconds_left=(plan.total_steps - self.step) * seconds / steps if steps else 0.0,
            )
        )

    def _end_epoch(self, planned: PlannedStep) -> None:
        parts = self._parts
        if parts.held_out is not None:
            epoch = planned.epoch + 1
            result = evaluate_held_out(parts.engine, parts.held_out, step=self.step, epoch=epoch)
            self.held_out.append(result)
            parts.progress.say(_summary(result))
            for sink in parts.metrics:
                sink.write(result.to_json())
        self._checkpoint()

    def _checkpoint(self) -> None:
        self._read()
        self._parts.checkpoint(self.step, self.tokens)
        self._read_at = time.perf_counter()


def _summary(result: HeldOutResult) -> str:
    """One line for a person, such as `epoch 1: held-out loss 2.1 accuracy 55.0%; GPT4 ...`."""
    overall = result.overall
    line = f"epoch {result.epoch}: held-out loss {overall.loss:.4f} accuracy {overall.accuracy:.1%}"
    by_condition = [
        f"{name or 'no condition'} {figures.loss:.4f} ({figures.accuracy:.1%})"
        for name, figures in result.conditions.items()
    ]
    return line + ("; " + ", ".join(by_condition) if len(by_condition) > 1 else "")
