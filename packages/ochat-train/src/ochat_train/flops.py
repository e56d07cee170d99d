"""How much arithmetic a step takes, and how much of the GPU's peak that is (MFU).

Model flops as in PaLM's appendix B (arXiv 2204.02311): 6 a parameter and token for the matrices,
and for attention 6 * layers * heads * head dimension * length^2 a sequence, causality counted.
What is computed twice (gradient checkpointing) counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .forward import embedding_table

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Dense bf16 peaks from the makers' data sheets, flops a second; the first name found counts.
_PEAKS = {
    "B200": 2.25e15,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "MI300X": 1307e12,
}


class StepFlops:
    """The model flops of a step from its tokens and the squares of its lengths."""

    def __init__(self, model: PreTrainedModel, *, frozen: bool = False) -> None:
        """Reads the sizes of a model whose weights are all there.

        A `frozen` one, under an adapter, gets no gradients of its weights: a third less.
        """
        self._a_token = (4 if frozen else 6) * _matrix_parameters(model)
        self._a_pair = 6 * _attention_width(model)

    def __call__(self, tokens: int, squares: int) -> float:
        """Flops of forward and backward.

        Args:
            tokens: of all sequences together.
            squares: sum of the squares of the sequences' lengths.
        """
        return float(self._a_token * tokens + self._a_pair * squares)


def peak_flops(device: torch.device) -> float | None:
    """The device's dense bf16 peak in flops a second; None where nobody published it here."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def _matrix_parameters(model: PreTrainedModel) -> int:
    """Parameters that every token is multiplied with: all but a table that is only looked up."""
    # A byte of a 4-bit matrix holds two.
    total = sum(p.numel() * (2 if p.dtype == torch.uint8 else 1) for p in model.parameters())
    table, head = embedding_table(model), model.get_output_embeddings()
    tied = head is not None and table is head.weight
    return total if tied else total - table.numel()


def _attention_width(model: PreTrainedModel) -> int:
    """Layers * heads * head dimension."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(config.num_hidden_layers * heads * dim)
