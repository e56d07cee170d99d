"""Memory of a run before it starts: parameters, optimiser, gradients, activations, checkpoints.

Weights, gradients and optimiser state follow the ZeRO paper (arXiv 1910.02054, section 3.1),
activations Korthikanti et al. (arXiv 2205.05198, equation 2, without the score matrix that packed
attention never holds), or what Llama's layers were counted to keep. Estimates, not promises:
fragmentation and the framework come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from .loss import rows_per_chunk

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Bytes a parameter: 16-bit weights and gradients; float32 weights and both of Adam's moments.
_HALF, _MASTER_AND_ADAM = 2, 12
# Bytes of activations a token and hidden unit in one layer, in 16 bits: Korthikanti et al.
_LAYER_ACTIVATIONS = 34
# A layer with a gated MLP keeps 11 rows of its width and 4 of its inner one, counted in Llama's.
_GATED_HIDDEN, _GATED_INNER = 11 * _HALF, 4 * _HALF


@dataclass(frozen=True, slots=True)
class Parameters:
    """Sizes of a model that decide its memory.

    Attributes:
        total: parameters.
        vocabulary: rows of its tables of embeddings.
        hidden: width.
        layers: of them.
        linear: parameters of the linear layers, without the output layer.
        linear_ends: inputs and outputs of those layers, summed: an adapter has so many parameters
            for each unit of its rank.
        gated: inner width of a layer whose MLP is gated, as Llama's; 0 where it is not.
    """

    total: int
    vocabulary: int
    hidden: int
    layers: int
    linear: int = 0
    linear_ends: int = 0
    gated: int = 0


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
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    text, head = config.get_text_config(), model.get_output_embeddings()
    linear = [
        module.weight.shape
        for module in model.modules()
        if isinstance(module, nn.Linear) and module is not head
    ]
    return Parameters(
        total=sum(parameter.numel() for parameter in model.parameters()),
        vocabulary=text.vocab_size,
        hidden=text.hidden_size,
        layers=text.num_hidden_layers,
        linear=sum(shape.numel() for shape in linear),
        linear_ends=sum(sum(shape) for shape in linear),
        gated=text.intermediate_size if "gate_proj" in names else 0,
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
    return MemoryEstimate(
        states=state_bytes(sizes.total, world_size, zero_stage, half=half),
        activations=activation_bytes(
            sizes, batch_tokens, gradient_checkpointing=gradient_checkpointing, half=half
        ),
        loss=loss_bytes(sizes),
    )


def activation_bytes(
    sizes: Parameters, batch_tokens: int, *, gradient_checkpointing: bool, half: bool = True
) -> int:
    """What is kept for the backward pass: everything, or each layer's input and one layer."""
    rows, width = batch_tokens * sizes.hidden, 1 if half else 2
    if sizes.gated:
        inner = batch_tokens * sizes.gated
        layer = (_GATED_HIDDEN * rows + _GATED_INNER * inner) * width
    else:
        layer = _LAYER_ACTIVATIONS * rows * width
    if gradient_checkpointing:
        return sizes.layers * rows * _HALF * width + layer
    return sizes.layers * layer


def loss_bytes(sizes: Parameters, *, trained_head: bool = True) -> int:
    """The loss's chunk of logits, three times in float32, and the gradient of the head."""
    chunk = 3 * 4 * rows_per_chunk(sizes.vocabulary) * sizes.vocabulary
    return chunk + (4 * sizes.vocabulary * sizes.hidden if trained_head else 0)


def state_bytes(parameters: int, ranks: int, stage: int | None, *, half: bool = True) -> int:
    """Weights, gradients and optimiser of one rank; see `estimate_memory` for the arguments."""
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
