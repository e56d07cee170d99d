"""Running a Hugging Face causal LM over a packed batch up to its last hidden states.

The one place that knows how the inside of such a model is called; the head is applied by `loss`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .attention import packed_arguments
from .errors import ModelError
from .head import read_head
from .loss import weighted_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .batch import PackedBatch
    from .layout import SequenceLayout


def backbone(model: PreTrainedModel) -> nn.Module:
    """The model without its output head.

    Raises:
        ModelError: the architecture does not separate the two.
    """
    inner = getattr(model, model.base_model_prefix, None)
    if not isinstance(inner, nn.Module) or inner is model:
        raise ModelError(
            f"model type {model.config.model_type!r} does not separate its body from its output "
            "head; only causal language models of transformers can be trained"
        )
    return inner


def embedding_table(model: PreTrainedModel) -> torch.Tensor:
    """The input embeddings `(vocab, hidden)`.

    Raises:
        ModelError: the model has no such table.
    """
    weight = model.get_input_embeddings().weight
    if not isinstance(weight, torch.Tensor):
        raise ModelError(f"model type {model.config.model_type!r} has no table of embeddings")
    return weight


def hidden_states(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    layout: SequenceLayout,
) -> torch.Tensor:
    """Last hidden states `(tokens, hidden)` of a packed row; `packed(layout)` must be open."""
    inner = backbone(model)
    output = inner(
        input_ids=input_ids[None],
        position_ids=position_ids[None],
        # A cache makes transformers ignore position_ids when it looks for packed sequences.
        use_cache=False,
        **packed_arguments(inner, layout),
    )
    return output.last_hidden_state[0]


def model_logits(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    layout: SequenceLayout,
) -> torch.Tensor:
    """The model's own logits `(tokens, vocab)`; `packed(layout)` must be open."""
    output = model(
        input_ids=input_ids[None],
        position_ids=position_ids[None],
        use_cache=False,
        **packed_arguments(model, layout),
    )
    return output.logits[0]


class TrainingModule(nn.Module):
    """A model whose forward pass is the loss: what an engine wraps, steps and shards."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Wraps `model`, which must already use packed attention."""
        super().__init__()
        self.model = model
        _teach_loss(model)

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def forward(self, batch: PackedBatch, normaliser: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, divided by `normaliser`; and figures of its sequences.

        Returns:
            The loss, a scalar with a gradient, and float32 `(sequences, 2)`: the sum of weight
            times negative log-likelihood, and the positions predicted rightly.
        """
        hidden = hidden_states(self.model, batch.input_ids, batch.position_ids, batch.layout)
        head: Any = self.model.get_output_embeddings()
        loss, rows, losses, hits = head(
            hidden, labels=batch.labels, weights=batch.weights / normaliser
        )
        weighted = losses * batch.weights[rows]
        return loss, _by_sequence(batch, rows, weighted, hits)


def _teach_loss(model: PreTrainedModel) -> None:
    """Makes a model's output layer compute the loss when it is called with labels.

    The loss belongs into a call of the layer itself: then whoever shards weights (ZeRO-3) brings
    them together for it, forward and backward, as for any other layer.
    """
    layer: Any = model.get_output_embeddings()
    plain, head = layer.forward, read_head(model)

    def forward(
        hidden: torch.Tensor,
        labels: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if labels is None or weights is None:
            return plain(hidden)
        # Read anew: an engine may have moved or replaced the tensors.
        now = replace(head, weight=layer.weight, bias=layer.bias)
        sums = weighted_loss(now, hidden, labels, weights)
        return sums.loss, sums.rows, sums.losses, sums.hits

    layer.forward = forward


def _by_sequence(
    batch: PackedBatch, rows: torch.Tensor, losses: torch.Tensor, hits: torch.Tensor
) -> torch.Tensor:
    """Sums of per-position figures over each sequence, without waiting for the device."""
    ends = batch.layout.cu_seqlens[1:].to(torch.int64)
    sequence = torch.bucketize(rows + batch.first, ends, right=True)
    figures = torch.stack([losses.detach(), hits.to(losses.dtype)], dim=1)
    return figures.new_zeros(len(batch.layout.lengths), 2).index_add_(0, sequence, figures)
