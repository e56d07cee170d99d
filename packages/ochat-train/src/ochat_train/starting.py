"""The model that a run starts from: new, loaded, from a checkpoint, or a base with an adapter.

What an adapter is belongs to `lora`; what a checkpoint holds besides the model to `checkpoint`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .isolation import probe_isolation, probe_sequence_parallel
from .model import create_model, enable_gradient_checkpointing, load_weights, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel

    from .config import TrainConfig
    from .lora import Adapter
    from .sequence_parallel import SequenceGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A model ready for an engine.

    Attributes:
        model: packed, proven to keep sequences apart, with its adapter if it has one.
        adapter: what is trained of it; None is everything.
        notes: what a person should know about it.
    """

    model: PreTrainedModel
    adapter: Adapter | None
    notes: tuple[str, ...]


def start_model(
    config: TrainConfig,
    model_config: PreTrainedConfig,
    checkpoint: Path | None,
    control_tokens: Mapping[str, int],
    group: SequenceGroup | None = None,
) -> Start:
    """Makes the model of a run.

    Args:
        config: of the run, with `precision` decided.
        model_config: of the model folder, as it is to be trained.
        checkpoint: to continue from; None starts anew.
        control_tokens: of the template, with their ids.
        group: the ranks that hold a batch together with this one.

    Raises:
        TrainError: something is missing, damaged or does not fit.
    """
    if not config.adapts:
        model = _whole_model(config, model_config, checkpoint)
        probe_isolation(model)
        adapter, notes = None, ()
    else:
        model = _base(config, model_config)
        # Before the adapter: a new one changes nothing.
        probe_isolation(model)
        adapter, notes = _adapt(model, config, checkpoint, control_tokens)
    if group is not None:
        probe_sequence_parallel(model, group)
    if config.gradient_checkpointing:
        enable_gradient_checkpointing(model, offload=config.offload_activations)
    return Start(model=model, adapter=adapter, notes=notes)


def _whole_model(
    config: TrainConfig, model_config: PreTrainedConfig, checkpoint: Path | None
) -> PreTrainedModel:
    if checkpoint is None:
        return create_model(
            config.model, model_config, from_scratch=config.from_scratch, seed=config.seed
        )
    folder = checkpoint / "model"
    return create_model(folder, read_config(folder), from_scratch=False, seed=0)


def _base(config: TrainConfig, model_config: PreTrainedConfig) -> PreTrainedModel:
    """The frozen base: no optimiser steps it, so 16 bits do where the computation is in 16."""
    precision = torch.bfloat16 if config.precision == "bf16" else torch.float32
    if config.qlora:
        from .quantised import load_in_4_bits

        return load_in_4_bits(config.model, model_config, precision)
    return load_weights(config.model, precision)


def _adapt(
    model: PreTrainedModel,
    config: TrainConfig,
    checkpoint: Path | None,
    control_tokens: Mapping[str, int],
) -> tuple[Adapter, tuple[str, ...]]:
    from .lora import add_adapter, read_adapter, untrained_rows

    untrained = untrained_rows(model, control_tokens)
    adapter = add_adapter(model, config)
    if checkpoint is not None:
        read_adapter(model, adapter, checkpoint / "model")
    notes = [str(adapter)]
    if untrained and not config.lora_embeddings:
        notes.append(
            f"note: the base never trained its {' and '.join(untrained)}, and an adapter does not "
            "either; --lora-embeddings trains the tables of embeddings too"
        )
    return adapter, tuple(notes)
