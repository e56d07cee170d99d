"""The output head of a causal LM, read from its config so that the loss can apply it in chunks.

Knows how architectures turn hidden states into logits; the loss itself is in `loss`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

# Relative to the largest logit: far above rounding, far below any real factor, cap or bias.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
_TOLERANCE_HALF = 3e-2
# Larger than any cap in use (Gemma 2: 30), so that a cap changes it visibly.
_PROBE_LOGIT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputHead:
    """logits = softcap * tanh(scale * (hidden @ weight.T + bias) / softcap).

    Attributes:
        weight: `(vocab, hidden)`.
        bias: `(vocab,)` or None.
        scale: factor on the logits, 1.0 where the architecture has none.
        softcap: limit of the logits, None where the architecture has none.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits in float32, `(..., vocab)`, of hidden states `(..., hidden)`."""
        raw = nn.functional.linear(hidden, self.weight.to(hidden.dtype)).float()
        if self.bias is not None:
            raw = raw + self.bias.float()
        if self.scale != 1.0:
            raw = raw * self.scale
        return raw if self.softcap is None else self.softcap * torch.tanh(raw / self.softcap)


def read_head(model: PreTrainedModel) -> OutputHead:
    """Reads the head of `model`; `verify_head` tells whether that is all the model does.

    Raises:
        ModelError: the model has no linear output layer.
    """
    layer = model.get_output_embeddings()
    if not isinstance(layer, nn.Linear):
        raise ModelError(
            f"model type {model.config.model_type!r} has no linear output layer; "
            "only causal language models can be trained"
        )
    config = model.config
    # Cohere multiplies by `logit_scale`, Granite divides by `logits_scaling`.
    multiplier = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return OutputHead(
        weight=layer.weight,
        bias=layer.bias,
        scale=(1.0 if multiplier is None else float(multiplier)) / float(divisor or 1.0),
        softcap=getattr(config, "final_logit_softcapping", None),
    )


@torch.no_grad()
def verify_head(
    model: PreTrainedModel,
    head: OutputHead,
    forward: Callable[[], tuple[torch.Tensor, torch.Tensor]],
) -> None:
    """Compares the model's own logits with those of `head`.

    The input of the output layer is enlarged for the comparison, so that a limit on the logits
    shows even in a model whose logits are still small.

    Args:
        model: the model that `head` was read from.
        head: see `read_head`.
        forward: runs the model on a few tokens; returns the hidden states before the head
            `(tokens, hidden)` and the model's own logits `(tokens, vocab)`.

    Raises:
        ModelError: the architecture treats its logits in a way that the loss does not know.
    """
    hidden, _ = forward()
    unscaled = head.weight.to(hidden.dtype) @ hidden.T
    enlarge = _PROBE_LOGIT / float(unscaled.abs().max().clamp(min=1e-6))

    def pre_hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0] * enlarge, *inputs[1:])

    layer = model.get_output_embeddings()
    if layer is None:
        raise ModelError(f"model type {model.config.model_type!r} has no output layer")
    handle = layer.register_forward_pre_hook(pre_hook)
    try:
        hidden, logits = forward()
    finally:
        handle.remove()
    ours = head.logits(hidden * enlarge)
    size = float(logits.float().abs().max().clamp(min=1e-6))
    difference = float((ours - logits.float()).abs().max()) / size
    if not difference <= _TOLERANCE.get(hidden.dtype, _TOLERANCE_HALF):
        raise ModelError(
            f"model type {model.config.model_type!r} computes its logits in a way that ochat-train "
            f"does not know (relative difference {difference:.2g}): training would optimise "
            "something else than what the model does, so it is refused"
        )
