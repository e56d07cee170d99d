"""Memory of a run before it starts: parameters, optimiser, gradients, activations, checkpoints.

Weights, gradients and optimiser state follow the ZeRO paper (arXiv 1910.02054, section 3.1),
activations Korthikanti et al. (arXiv 2205.05198, equation 2, without the score matrix that packed
attention never holds). Estimates, not promises: fragmentation and the framework come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM

from .loss import rows_per_chunk

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Bytes a parameter: 16-bit weights and gradients; float32 weights and both of Adam's moments.
_HALF, _MASTER_AND_ADAM = 2, 12
# Bytes of activations a token and hidden unit in one layer, in 16 bits.
_LAYER_ACTIVATIONS = 34


@dataclass(frozen=True, slots=True)
class Parameters:
    """Sizes of a model that decide its memory."""

    total: int
    vocabulary: int
    hidden: int
    layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes of one rank.

    Attributes:
        states: weights, gradients, optimiser.
        activations: kept for the backward pass.
        loss: chunk of logits and the head's gradient.
    """

    states: int
    activations: int
    loss: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.states + self.activations + self.loss


def count_parameters(config: PreTrainedConfig) -> Parameters:
    """Counts a model's parameters without any memory for them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    return Parameters(
        total=sum(parameter.numel() for parameter in model.parameters()),
        vocabulary=text.vocab_size,
        hidden=text.hidden_size,
        layers=text.num_hidden_layers,
    )


def estimate_memory(
    sizes: Parameters,
    *,
    batch_tokens: int,
    world_size: int,
    zero_stage: int | None,
    gradient_checkpointing: bool,
    half: bool = True,
) -> MemoryEstimate:
    """Memory of one rank.

    Args:
        sizes: the model.
        batch_tokens: tokens of one batch.
        world_size: ranks that share states.
        zero_stage: 0 to 3 under DeepSpeed; None is the single process, whose weights are float32.
        gradient_checkpointing: only each layer's input is kept, and one layer is computed again.
        half: whether the computation is in bf16.
    """
    rows, width = batch_tokens * sizes.hidden, 1 if half else 2
    layer = _LAYER_ACTIVATIONS * rows * width
    kept = (
        sizes.layers * rows * _HALF * width + layer
        if gradient_checkpointing
        else (sizes.layers * layer)
    )
    chunk = 3 * 4 * rows_per_chunk(sizes.vocabulary) * sizes.vocabulary
    return MemoryEstimate(
        states=_states(sizes.total, world_size, zero_stage, half=half),
        activations=kept,
        loss=chunk + 4 * sizes.vocabulary * sizes.hidden,
    )


def _states(parameters: int, ranks: int, stage: int | None, *, half: bool) -> int:
    if stage is None:
        # float32 weights, gradients and moments; autocast keeps a 16-bit copy of the matrices.
        return parameters * (16 + (_HALF if half else 0))
    if not half:
        weights, gradients, optimiser = 4, 4, 8
    else:
        weights, gradients, optimiser = _HALF, _HALF, _MASTER_AND_ADAM
    shared = {0: 0, 1: optimiser, 2: optimiser + gradients, 3: optimiser + gradients + weights}
    everything = weights + gradients + optimiser
    return parameters * (everything - shared[stage]) + parameters * shared[stage] // ranks


def checkpoint_bytes(parameters: int) -> int:
    """Disk that one checkpoint (float32 weights and moments) and the exported model take."""
    return parameters * (12 + 4)
