"""A training run from its configuration to the exported model folder.

Puts the parts together in order; each part is a module of its own.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from ochat_templates import ModelCard

from .checkpoint import (
    RunState,
    prune_checkpoints,
    read_state,
    restore_random_state,
    save_checkpoint,
)
from .diverged import keep_step
from .engine_choice import EngineChoice, choose_engine
from .errors import OutputError
from .export import ModelParts, TrainedModel, probe_logits, write_model, write_verified
from .flops import StepFlops, peak_flops
from .guards import check_inputs, check_output, check_space
from .loop import LoopParts, TrainingLoop
from .metrics import MetricsLog, best_step
from .metrics_services import open_services
from .model import weights_digest
from .progress import Progress
from .rank_log import LOG, LogSink, rank_log
from .run_plan import PlanSettings, RunPlan, plan_epoch
from .schedule import ADAPTER_RATE, CosineSchedule, automatic_lr
from .sections import share_steps
from .starting import start_model
from .stopping import StopRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .config import TrainConfig
    from .engine import Engine
    from .guards import Inputs
    from .held_out import HeldOutResult
    from .metrics import MetricsSink
    from .run_plan import EpochPlan, PlannedStep

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a run produced.

    Attributes:
        model: the exported model folder.
        steps: optimiser steps of the whole run, resumed ones included.
        tokens: tokens trained over the whole run and all ranks.
        seconds: time of this process in the loop, without loading and export.
        train_loss: loss of the last step, None if there was nothing left to train.
        held_out: held-out figures of each epoch that ended in this process.
    """

    model: Path
    steps: int
    tokens: int
    seconds: float
    train_loss: float | None
    held_out: Sequence[HeldOutResult]


def train(config: TrainConfig) -> TrainResult:
    """Trains, evaluates, checkpoints and exports as `config` says.

    Under a launcher (torchrun, deepspeed) every rank calls this with the same configuration.

    Raises:
        TrainError: see `errors`; nothing half-written is left.
        ochat_data.DataError: the dataset is missing or damaged.
        ochat_templates.TemplatesError: the tokenizer is missing, or not the dataset's.
    """
    config.validate()
    choice = choose_engine(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    inputs = check_inputs(choice.config)
    checkpoint: Path | None = None
    notes: list[str] = []
    if choice.rank == 0:
        checkpoint, notes = check_output(config.output, resume=config.resume)
        check_space(config.output, inputs.model_config, adapts=config.adapts, merge=config.merge)
    choice.start()
    with (
        # One process refuses before anything is written, and has a screen of its own.
        rank_log(config.output, choice.rank, choice.world_size)
        if choice.world_size > 1
        else nullcontext(),
        choice.watch(config.rank_timeout),
    ):
        for note in notes:
            LOG.warning(note)
            print(f"ochat-train: {note}", file=sys.stderr)  # noqa: T201 - also with --quiet
        checkpoint = choice.from_rank_0(checkpoint)
        stored = None if checkpoint is None else read_state(checkpoint)
        run = _Run(choice, inputs, stored)
        return run.execute(checkpoint, stored)


class _Run:
    """A run whose inputs have been checked."""

    def __init__(self, choice: EngineChoice, inputs: Inputs, stored: RunState | None) -> None:
        """Plans it; `stored` is where it is continued."""
        config = choice.config
        self.choice = choice
        self.inputs = inputs
        self.sharing = share_steps(stored, choice.data_ranks, config.accumulation)
        self.plan_settings = PlanSettings(
            capacity=inputs.capacity,
            world_size=choice.data_ranks,
            accumulation=self.sharing.accumulation,
            seed=config.seed,
            packing=config.packing,
            average=config.average,
            groups=inputs.groups,
            sections=self.sharing.sections,
        )
        self.plan = RunPlan(inputs.train, self.plan_settings, epochs=config.epochs)
        self.lr = self._automatic_lr() if config.lr is None else config.lr
        self.config = replace(config, lr=self.lr)
        self.base = weights_digest(config.model) if config.adapts else None
        self.progress = Progress(quiet=self.config.quiet or choice.rank != 0)

    def execute(self, checkpoint: Path | None, stored: RunState | None) -> TrainResult:
        """Loads, trains and exports; `stored` is the state in `checkpoint`."""
        state = self._state(0, 0)
        if stored is not None:
            stored.require_same_run(state)
            state = stored
        engine = self._engine(checkpoint)
        self._announce(state, checkpoint)
        parts = self._loop_parts(engine, state)
        loop = TrainingLoop(parts, step=state.step, tokens=state.tokens)
        started = time.perf_counter()
        try:
            with (
                rank_log(self.config.output, 0, 1) if engine.world_size == 1 else nullcontext(),
                parts.stop.listening(),
            ):
                loop.run()
        finally:
            self.progress.close()
            for sink in parts.metrics:
                sink.close()
        seconds = time.perf_counter() - started
        model = self._export(engine, self._state(loop.step, loop.tokens))
        engine.barrier()
        self.progress.say(f"model written to {model}")
        return TrainResult(
            model=model,
            steps=loop.step,
            tokens=loop.tokens,
            seconds=seconds,
            train_loss=loop.last_loss,
            held_out=tuple(loop.held_out),
        )

    def _engine(self, checkpoint: Path | None) -> Engine:
        """Makes the model, proves that it can be packed, and hands it to the engine."""
        config = self.config
        group = self.choice.join()
        start = start_model(
            config, self.inputs.model_config, checkpoint, self.inputs.codec.control_ids, group
        )
        self.adapter, self.notes = start.adapter, start.notes
        # Counted while the weights are whole.
        self.flops = StepFlops(start.model, frozen=start.adapter is not None)
        engine = self.choice.build(start.model, self.sharing.accumulation, group)
        # Whatever the model's creation drew, dropout starts alike for scratch and loaded models.
        torch.manual_seed(config.seed + engine.rank)
        if checkpoint is not None:
            engine.load(checkpoint)
            # Ranks that are new go on with the seed of their own.
            if engine.rank < read_state(checkpoint).world_size:
                restore_random_state(checkpoint, engine.rank)
        return engine

    def _loop_parts(self, engine: Engine, state: RunState) -> LoopParts:
        config = self.config
        metrics: list[MetricsSink] = [LogSink()]
        if engine.rank == 0:
            metrics += self._open_output(state.step)
        engine.barrier()

        def checkpoint(step: int, tokens: int) -> None:
            state = self._state(step, tokens)
            parts = self._model_parts(state)
            LOG.info("saving a checkpoint after step %d", step)
            weights, dtype = engine.whole_weights(self._trained()), engine.model.dtype
            save_checkpoint(
                config.output / "checkpoints",
                state,
                engine,
                lambda folder: self._write(engine, weights, folder, parts, dtype),
            )
            if config.keep_last is not None and engine.rank == 0:
                best = best_step(config.output / "metrics.jsonl")
                prune_checkpoints(config.output / "checkpoints", config.keep_last, best)

        def keep_diverged(number: int, planned: PlannedStep) -> str:
            return str(keep_step(config.output / "diverged", number, engine.rank, planned))

        peak = peak_flops(next(engine.model.parameters()).device)
        return LoopParts(
            engine=engine,
            plan=self.plan,
            flops=self.flops,
            peak_flops=peak * engine.world_size if peak else None,
            schedule=CosineSchedule(
                peak=self.lr,
                total_steps=self.plan.nominal_steps,
                warmup_steps=config.warmup_steps,
                min_ratio=config.lr_min_ratio,
            ),
            held_out=self._held_out(),
            metrics=metrics,
            progress=self.progress,
            # Reading a loss waits for the device, which costs nothing on a CPU.
            read_every=config.log_every if torch.cuda.is_available() else 1,
            checkpoint_steps=config.checkpoint_steps,
            checkpoint=checkpoint,
            stop=StopRequest(config.time_limit_minutes),
            keep_diverged=keep_diverged,
        )

    def _held_out(self) -> EpochPlan | None:
        """The plan of the held-out examples, the same for every epoch."""
        examples = self.inputs.held_out
        if examples is None:
            return None
        return plan_epoch(examples, replace(self.plan_settings, accumulation=1, sections=()), 0)

    def _automatic_lr(self) -> float:
        """By the tokens that count in a mean step, as far as the lengths of spans tell."""
        supervised = sum(examples.supervised_tokens for examples in self.inputs.train)
        # As the run was begun, so that going on with more ranks does not choose another rate.
        begun = replace(self.plan_settings, sections=self.sharing.sections[:1])
        plan = RunPlan(self.inputs.train, begun, epochs=self.choice.config.epochs)
        steps = sum(epoch.plan.steps for epoch in plan.epochs[: len(self.inputs.train)])
        rate = automatic_lr(supervised / steps, self.inputs.model_config.model_type)
        return rate * ADAPTER_RATE if self.choice.config.adapts else rate

    def _open_output(self, step: int) -> list[MetricsSink]:
        """Makes the output folder, writes the settings and opens the metrics."""
        output = self.config.output
        try:
            output.mkdir(parents=True, exist_ok=True)
            settings = json.dumps(self._settings(), indent=2) + "\n"
            (output / "run.json").write_text(settings, encoding="utf-8")
            metrics = MetricsLog(output / "metrics.jsonl")
            metrics.cut_after(step)
        except OSError as error:
            raise OutputError(f"cannot write to --output {output}: {error}") from error
        return [metrics, *open_services(self.config, self._settings())]

    def _announce(self, state: RunState, checkpoint: Path | None) -> None:
        settings = " ".join(f"{name}={value}" for name, value in self._settings().items())
        self.progress.say(f"settings: {settings}")
        start = f"resuming after step {state.step}" if checkpoint else "starting"
        self.progress.say(
            f"{start}: {self.plan.total_steps} steps of at most {self.plan.step_tokens} tokens, "
            f"{sum(map(len, self.inputs.train))} examples, {self.choice.world_size} rank(s)"
        )
        for note in (*self.notes, *filter(None, [self.sharing.note])):
            self.progress.say(note)
        for examples in self.inputs.train:
            if text := str(examples.counts):
                self.progress.say(f"of the training split: {text}")

    def _settings(self) -> dict[str, object]:
        """The effective settings: what was chosen for options left open is filled in."""
        chosen = {"batch_tokens": self.inputs.capacity, "engine": self.choice.name}
        return {**self.config.to_json(), **chosen}

    def _state(self, step: int, tokens: int) -> RunState:
        chosen: dict[str, object] = {
            "batch_tokens": self.inputs.capacity,
            "engine": self.choice.name,
        }
        if self.base is not None:
            chosen["base weights"] = self.base
        return RunState(
            step=step,
            tokens=tokens,
            dataset=self.inputs.digest,
            world_size=self.choice.world_size,
            settings={**self.config.fixed_part(), **chosen},
            sections=self.sharing.sections,
        )

    def _model_parts(self, state: RunState) -> ModelParts:
        training = {
            **state.settings,
            "base_model": self.config.model.name,
            "dataset": state.dataset,
            "world_size": state.world_size,
            "steps": state.step,
            "tokens": state.tokens,
            "versions": _versions(),
        }
        card = ModelCard(
            model_type=self.inputs.codec.template.name,
            context_length=self.inputs.context_length,
            fingerprint=self.inputs.codec.fingerprint,
            training=training,
        )
        return ModelParts(tokenizer=self.config.model, codec=self.inputs.codec, card=card)

    def _trained(self) -> frozenset[str] | None:
        """Names of the weights that are written: a frozen base is not even brought together."""
        return None if self.adapter is None else frozenset(self.adapter.names)

    def _write(
        self,
        engine: Engine,
        weights: Mapping[str, torch.Tensor],
        folder: Path,
        parts: ModelParts,
        dtype: torch.dtype,
    ) -> None:
        """Writes a checkpoint's model: all of it, or what an adapter adds."""
        if self.adapter is None:
            write_model(engine.model, weights, folder, parts, dtype=dtype)
        else:
            from .adapter_export import write_adapter_folder

            write_adapter_folder(self.adapter, weights, folder, parts)

    def _export(self, engine: Engine, state: RunState) -> Path:
        """Writes the result on rank 0; the others hand over what they hold of it.

        Returns:
            The model's folder, or the adapter's where the two are not to be merged.
        """
        config, parts = self.config, self._model_parts(state)
        weights, logits = engine.whole_weights(self._trained()), probe_logits(engine.model)
        dtype = _DTYPES[config.precision or "fp32"]
        folder = config.output / ("model" if config.merge else "adapter")
        if engine.rank == 0 and self.adapter is None:
            trained = TrainedModel(model=engine.model, weights=weights, logits=logits)
            write_verified(trained, folder, parts, dtype=dtype)
        elif engine.rank == 0 and self.adapter is not None:
            from .adapter_export import export_adapter, export_merged

            adapter = config.output / "adapter"
            known = None if config.qlora else logits
            export_adapter(self.adapter, weights, known, adapter, parts, dtype=dtype)
            if config.merge:
                export_merged(adapter, config.model, folder, parts, dtype=dtype)
        return folder


def _versions() -> dict[str, str]:
    """Versions of what decides the result, for the model card."""
    found: dict[str, str] = {}
    for name in ("ochat-train", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"  # used from a source tree that was never installed
    return found
