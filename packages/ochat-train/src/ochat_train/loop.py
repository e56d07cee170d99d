"""The training loop: steps in the order of the plan, readings, held-out loss, checkpoints.

Who computes a step is the engine's business, what a checkpoint holds is its caller's.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .batch import collate
from .errors import DivergedError
from .held_out import evaluate_held_out
from .progress import StepFigures

if TYPE_CHECKING:
    from collections.abc import Callable

    from ochat_data import TokenSplit

    from .engine import Engine, StepSums
    from .held_out import HeldOutResult
    from .metrics import MetricsLog
    from .progress import Progress
    from .run_plan import EpochPlan, PlannedStep, RunPlan
    from .schedule import CosineSchedule

_RECENT_READINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopParts:
    """What the loop works with.

    Attributes:
        engine: computes steps.
        plan: the whole run.
        schedule: learning rate by step.
        train: the training split.
        held_out: the held-out split with its plan, None where there is none.
        metrics: where events go; None on ranks that write nothing.
        progress: what a person sees.
        read_every: steps between two readings of the losses.
        checkpoint_steps: steps between checkpoints inside an epoch, None for none.
        checkpoint: writes a checkpoint after so many steps and tokens.
    """

    engine: Engine
    plan: RunPlan
    schedule: CosineSchedule
    train: TokenSplit
    held_out: tuple[TokenSplit, EpochPlan] | None
    metrics: MetricsLog | None
    progress: Progress
    read_every: int
    checkpoint_steps: int | None
    checkpoint: Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A step whose sums are still on the device."""

    number: int
    planned: PlannedStep
    lr: float
    sums: StepSums
    supervised: int


class TrainingLoop:
    """Runs a plan from some step to its end."""

    def __init__(self, parts: LoopParts, *, step: int = 0, tokens: int = 0) -> None:
        """Starts after `step` steps that trained `tokens` tokens."""
        self._parts = parts
        self.step = step
        self.tokens = tokens
        self.held_out: list[HeldOutResult] = []
        self.last_loss: float | None = None
        self._pending: list[_Pending] = []
        self._recent: deque[tuple[int, int, float]] = deque(maxlen=_RECENT_READINGS)
        self._first_step, self._first_tokens = step, tokens
        self._read_at = time.perf_counter()

    def run(self) -> None:
        """Trains to the end of the plan.

        Raises:
            DivergedError: a loss or gradient norm is not finite; checkpoints stay usable.
        """
        parts = self._parts
        parts.engine.model.train()
        self._read_at = time.perf_counter()
        while self.step < parts.plan.total_steps:
            planned = parts.plan.step(self.step, parts.engine.rank)
            self._train(planned)
            if len(self._pending) >= parts.read_every or planned.ends_epoch:
                self._read()
            self._show(planned)
            if planned.ends_epoch:
                self._end_epoch(planned)
            elif parts.checkpoint_steps and self.step % parts.checkpoint_steps == 0:
                self._checkpoint()

    def _train(self, planned: PlannedStep) -> None:
        parts = self._parts
        batch = collate([parts.train.example(int(index)) for index in planned.examples])
        lr = parts.schedule(self.step)
        # A step in which nothing is supervised has a loss of zero whatever it is divided by.
        sums = parts.engine.train_step(batch, planned.denominator or 1.0, lr)
        self.step += 1
        self.tokens += planned.tokens
        self._pending.append(
            _Pending(
                number=self.step,
                planned=planned,
                lr=lr,
                sums=sums,
                supervised=int((batch.weights != 0).sum()),
            )
        )

    def _read(self) -> None:
        """Waits for the device, sums the pending steps over the ranks and writes their events."""
        pending = list(self._pending)
        self._pending.clear()
        if not pending:
            return
        local = torch.tensor(
            [[float(p.sums.loss), float(p.sums.correct), p.supervised] for p in pending],
            dtype=torch.float64,
        )
        totals = self._parts.engine.sum_over_ranks(local).tolist()
        now = time.perf_counter()
        seconds, self._read_at = now - self._read_at, now
        tokens = sum(p.planned.tokens for p in pending)
        self._recent.append((len(pending), tokens, seconds))
        events = [
            self._event(step, *sums, tokens_per_second=tokens / seconds)
            for step, sums in zip(pending, totals, strict=True)
        ]
        if self._parts.metrics is not None:
            self._parts.metrics.write(*events)

    def _event(
        self,
        step: _Pending,
        loss: float,
        correct: float,
        supervised: float,
        *,
        tokens_per_second: float,
    ) -> dict[str, object]:
        """The metrics of one step; refuses figures that are not finite."""
        norm = None if step.sums.grad_norm is None else float(step.sums.grad_norm)
        if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
            raise DivergedError(
                f"step {step.number} has loss {loss} and gradient norm {norm}: training diverged; "
                "lower --lr or raise --warmup-steps, and start from the last checkpoint or anew"
            )
        self.last_loss = loss
        capacity = self._parts.plan.capacity * self._parts.plan.world_size
        return {
            "event": "train",
            "step": step.number,
            "epoch": step.planned.epoch + 1,
            "loss": loss,
            "accuracy": correct / supervised if supervised else None,
            "lr": step.lr,
            "grad_norm": norm,
            "tokens": step.planned.tokens,
            "supervised_tokens": int(supervised),
            "fill": step.planned.tokens / capacity,
            "tokens_per_second": tokens_per_second,
        }

    def _show(self, planned: PlannedStep) -> None:
        plan = self._parts.plan
        steps, tokens, seconds = (
            (sum(column) for column in zip(*self._recent, strict=True))
            if (self._recent)
            else (0, 0, 0.0)
        )
        done = self.step - self._first_step
        capacity = plan.capacity * plan.world_size
        self._parts.progress.update(
            StepFigures(
                step=self.step,
                total_steps=plan.total_steps,
                epoch=planned.epoch + 1,
                epochs=len(plan.epochs),
                loss=self.last_loss,
                tokens_per_second=tokens / seconds if seconds else 0.0,
                fill=(self.tokens - self._first_tokens) / (done * capacity),
                seconds_left=(plan.total_steps - self.step) * seconds / steps if steps else 0.0,
            )
        )

    def _end_epoch(self, planned: PlannedStep) -> None:
        parts = self._parts
        if parts.held_out is not None:
            split, plan = parts.held_out
            epoch = planned.epoch + 1
            result = evaluate_held_out(parts.engine, split, plan, step=self.step, epoch=epoch)
            self.held_out.append(result)
            parts.progress.say(_summary(result))
            if parts.metrics is not None:
                parts.metrics.write(result.to_json())
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
