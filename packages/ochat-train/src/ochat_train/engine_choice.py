"""Which engine a run uses, decided from its configuration and the launcher's environment.

Imports no engine before it is built, so that a single process never loads deepspeed.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from .errors import ConfigError, EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .config import TrainConfig
    from .engine import Engine
    from .sequence_parallel import SequenceGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """The engine of a run, before it exists.

    Attributes:
        name: which implementation.
        rank: this process.
        world_size: number of processes.
        config: the run's configuration with `precision` decided.
    """

    name: Literal["single", "deepspeed"]
    rank: int
    world_size: int
    config: TrainConfig

    @property
    def data_ranks(self) -> int:
        """Ranks that each have batches of their own; those that hold one together count once."""
        return self.world_size // self.config.sequence_parallel

    def start(self) -> None:
        """Connects the ranks; nothing to do for a single process."""
        if self.name == "deepspeed":
            from .engine_deepspeed import connect

            connect()

    def watch(self, seconds: float) -> AbstractContextManager[object]:
        """Names a rank that is silent for so long and ends this process, as the block lasts."""
        if self.world_size == 1:
            return nullcontext()
        from .broken_connection import watched
        from .engine_deepspeed import heartbeat

        return watched(heartbeat(seconds))

    def from_rank_0(self, path: Path | None) -> Path | None:
        """What rank 0 passed here, on every rank."""
        if self.name == "single":
            return path
        from .engine_deepspeed import broadcast

        found = broadcast("" if path is None else str(path))
        return Path(found) if found else None

    def join(self) -> SequenceGroup | None:
        """The ranks that hold every batch together with this one; all ranks call it."""
        if self.config.sequence_parallel == 1:
            return None
        from .sequence_parallel import join_group

        return join_group(self.rank, self.world_size, self.config.sequence_parallel)

    def build(
        self, model: PreTrainedModel, accumulation: int, group: SequenceGroup | None = None
    ) -> Engine:
        """Hands the model to a new engine that takes so many batches a step."""
        if self.name == "single":
            from .engine import SingleProcessEngine

            return SingleProcessEngine(model, self.config)
        from .engine_deepspeed import DeepSpeedEngine

        return DeepSpeedEngine(model, self.config, accumulation, group)


def choose_engine(config: TrainConfig) -> EngineChoice:
    """Decides engine and precision.

    Raises:
        ConfigError: the DeepSpeed configuration file is unusable.
        EngineError: several processes were started for the single-process engine, or not as many
            as hold a batch together.
    """
    world_size = _from_environment("WORLD_SIZE", 1)
    wanted = config.zero_stage is not None or config.deepspeed_config is not None or world_size > 1
    name = config.engine
    if name == "auto":
        name = "deepspeed" if wanted else "single"
    if name == "single" and world_size > 1:
        raise EngineError(
            f"{world_size} processes were started but --engine single trains in one; "
            "drop --engine, or start one process"
        )
    if world_size % config.sequence_parallel:
        raise EngineError(
            f"--sequence-parallel {config.sequence_parallel} needs a multiple of as many ranks, "
            f"here are {world_size}; start them with torchrun or deepspeed"
        )
    precision = config.precision
    if name == "deepspeed":
        from .deepspeed_config import read_deepspeed_config

        precision = read_deepspeed_config(config).precision
    elif precision is None:
        precision = "bf16" if torch.cuda.is_available() else "fp32"
    return EngineChoice(
        name=name,
        rank=_from_environment("RANK", 0),
        world_size=world_size,
        config=replace(config, precision=precision),
    )


def _from_environment(name: str, default: int) -> int:
    """An integer that a launcher (torchrun, deepspeed) put into the environment."""
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"the environment variable {name} is {text!r}, not a number; unset it or use a launcher"
        ) from None
