"""The DeepSpeed configuration of a run: the user's file, completed and checked.

Imports neither torch nor deepspeed; the engine that uses the result is in `engine_deepspeed`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .config import Precision, TrainConfig

_DEFAULT_STAGE = 2
# Sections whose job `ochat-train` does itself, with the option that replaces each.
_OWNED = {
    "optimizer": "--lr, --beta1, --beta2, --eps and --weight-decay",
    "scheduler": "--lr, --warmup-steps and --lr-min-ratio",
    "fp16": "--precision bf16",
    # It is for models that call DeepSpeed's own function for it; those of transformers do not.
    "activation_checkpointing": "--gradient-checkpointing, and --offload-activations for the host",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepSpeedConfig:
    """What DeepSpeed is started with.

    Attributes:
        precision: as the file and `--precision` say.
        settings: the complete configuration.
    """

    precision: Precision
    settings: Mapping[str, Any]


def read_deepspeed_config(config: TrainConfig) -> DeepSpeedConfig:
    """Completes the user's configuration file, or makes one.

    A batch is one packed row, so the file's batch sizes are replaced; everything else it says is
    kept. `--zero-stage` and `--precision` win over the file, whose `"auto"` values mean "yours".

    Raises:
        ConfigError: the file cannot be read, or asks for something that contradicts the run.
    """
    settings = _read(config.deepspeed_config)
    for section, options in _OWNED.items():
        given = settings.get(section)
        if given and not (isinstance(given, dict) and given.get("enabled") is False):
            raise ConfigError(
                f"{config.deepspeed_config} has a section {section!r}; remove it and use {options}"
            )
    # They go on when a save has returned, so digests and names would be of half a checkpoint.
    writer = _section(settings, "checkpoint", config.deepspeed_config).get("writer")
    if writer or settings.get("datastates_ckpt"):
        raise ConfigError(
            f"{config.deepspeed_config} asks for another writer of checkpoints; remove "
            f"{'checkpoint.writer' if writer else 'datastates_ckpt'}: the ranks wait until every "
            "file is on the disk, so that each checkpoint is whole"
        )
    accumulation = settings.get("gradient_accumulation_steps", 1)
    if accumulation not in (1, "auto", config.accumulation):
        raise ConfigError(
            f"{config.deepspeed_config} has gradient_accumulation_steps {accumulation}, the run "
            f"{config.accumulation}; remove it and give --accumulation {accumulation}"
        )
    together = settings.get("sequence_parallel_size", config.sequence_parallel)
    if together != config.sequence_parallel:
        raise ConfigError(
            f"{config.deepspeed_config} has sequence_parallel_size {together}; remove it and give "
            f"--sequence-parallel {together}"
        )
    zero = dict(_section(settings, "zero_optimization", config.deepspeed_config))
    stage = zero.get("stage", "auto") if config.zero_stage is None else config.zero_stage
    stage = _DEFAULT_STAGE if stage == "auto" else stage
    if stage not in (0, 1, 2, 3):
        raise ConfigError(f"there is no ZeRO stage {stage!r}; give --zero-stage 0, 1, 2 or 3")
    bf16 = _section(settings, "bf16", config.deepspeed_config).get("enabled", "auto")
    precision = config.precision or ("fp32" if bf16 is False else "bf16")
    clipping = settings.get("gradient_clipping", "auto")
    settings.update(
        train_micro_batch_size_per_gpu=1,
        gradient_accumulation_steps=config.accumulation,
        gradient_clipping=config.max_grad_norm if clipping == "auto" else clipping,
        zero_optimization={**zero, "stage": stage},
        zero_allow_untested_optimizer=True,
        bf16={"enabled": precision == "bf16"},
    )
    settings.pop("train_batch_size", None)
    # To DeepSpeed, every rank has a part of the data.
    settings.pop("sequence_parallel_size", None)
    return DeepSpeedConfig(precision=precision, settings=settings)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read --deepspeed {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"--deepspeed {path} must hold a JSON object, such as {{}}")
    return settings


def _section(settings: Mapping[str, Any], name: str, path: Path | None) -> Mapping[str, Any]:
    section = settings.get(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {name!r} must be a JSON object")
    return section
