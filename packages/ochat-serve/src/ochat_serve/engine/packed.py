"""Many requests in one forward pass: their tokens laid end to end, attention apart for each.

Every matrix product of the model then runs once for all requests, while attention runs for each
with its own keys and values, so that nothing is padded and nobody can see another's tokens.

On a CPU in float32 a token's numbers are the same bits whatever runs beside it: attention is
computed for the request alone, and the rows of a matrix product do not depend on each other once
there are a few of them, which `_row_multiple` sees to.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from ochat_serve.engine.runner import Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

ATTENTION = "ochat_packed"
# Room for so many tokens at first; doubled whenever it is full.
_FIRST_TOKENS = 256
# Fewer rows, of one thread's share, are computed by another kernel with other rounding (seen with
# torch 2.13 on x86).
_ROWS_OF_A_THREAD = 4


@dataclass(slots=True)
class PackedCache:
    """Keys and values of one request, by layer.

    Attributes:
        length: Tokens that the model has seen; counted up when a forward pass is complete, so
            that one that failed can be repeated.
    """

    length: int = 0
    _layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def extend(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write what new tokens add, and give all of a layer.

        Args:
            layer: Which layer.
            key: `(heads, new tokens, width)`.
            value: The same for values.
        """
        total = self.length + key.shape[1]
        pair = self._layers.get(layer)
        if pair is None or pair[0].shape[1] < total:
            pair = (_grown(pair and pair[0], key, total), _grown(pair and pair[1], value, total))
            self._layers[layer] = pair
        keys, values = pair
        keys[:, self.length : total] = key
        values[:, self.length : total] = value
        return keys[:, :total], values[:, :total]


def _grown(old: torch.Tensor | None, new: torch.Tensor, total: int) -> torch.Tensor:
    """A buffer for at least `total` tokens with what the old one holds."""
    room = max(_FIRST_TOKENS, 1 << (total - 1).bit_length())
    buffer = new.new_empty(new.shape[0], room, new.shape[2])
    if old is not None:
        buffer[:, : old.shape[1]] = old
    return buffer


@dataclass(frozen=True, slots=True)
class _Span:
    """Where the tokens of one request lie in a forward pass."""

    start: int
    stop: int
    cache: PackedCache


# The spans of this thread's forward pass: a model hands its attention no word of ours.
_pass = threading.local()


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: object,
) -> tuple[torch.Tensor, None]:
    """Attention of one layer for every span; query, key and value `(1, heads, tokens, width)`."""
    for name in ("softcap", "s_aux", "position_bias"):
        if more.get(name) is not None:
            raise ValueError(f"packed attention knows no {name}")
    spans: Sequence[_Span] = _pass.spans
    result = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])
    layer = int(module.layer_idx)  # pyrefly: ignore[bad-argument-type] - an int in every model
    for span in spans:
        here = slice(span.start, span.stop)
        keys, values = span.cache.extend(layer, key[0, :, here], value[0, :, here])
        result[0, here] = _attention(query[0, :, here], keys, values, scaling, sliding_window)
    return result, None


def _attention(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Causal attention of the last tokens of one request; gives `(tokens, heads, width)`."""
    heads, new, _ = query.shape
    total = keys.shape[1]
    if new == 1:
        if window is not None:
            keys, values = keys[:, -window:], values[:, -window:]
        # Heads that share their keys stand as rows of one query.
        grouped = query.reshape(1, keys.shape[0], -1, query.shape[2])
        out = scaled_dot_product_attention(grouped, keys[None], values[None], scale=scaling)
        return out.reshape(1, heads, -1)
    plain = total == new and (window is None or window >= total)
    out = scaled_dot_product_attention(
        query[None],
        keys[None],
        values[None],
        attn_mask=None if plain else _mask(new, total, window, query.device),
        is_causal=plain,
        scale=scaling,
        enable_gqa=heads != keys.shape[0],
    )
    return out[0].transpose(0, 1)


def _mask(new: int, total: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Which of all tokens each new one sees, `(new, total)`."""
    query = torch.arange(total - new, total, device=device)[:, None]
    key = torch.arange(total, device=device)[None]
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


class PackedRunner:
    """Runs all pieces of a step in one forward pass."""

    def __init__(self, model: PreTrainedModel, *, threads: int) -> None:
        """Give the model packed attention, in place.

        Args:
            model: In evaluation mode, on its device.
            threads: Threads of one operation on the CPU.
        """
        AttentionInterface.register(ATTENTION, _attend)
        model.set_attn_implementation(ATTENTION)
        self._model = model
        exact = model.device.type == "cpu" and model.dtype == torch.float32
        self._row_multiple = _ROWS_OF_A_THREAD * threads if exact else 1

    def new_cache(self) -> PackedCache:
        """What a request has seen: nothing yet."""
        return PackedCache()

    def forward(self, pieces: Sequence[Piece[PackedCache]]) -> list[torch.Tensor]:
        """See `Runner.forward`."""
        ids: list[int] = []
        positions: list[int] = []
        kept: list[int] = []
        spans: list[_Span] = []
        for piece in pieces:
            start, seen = len(ids), piece.cache.length
            ids += piece.ids
            positions += range(seen, seen + len(piece.ids))
            kept += range(start, len(ids)) if piece.every else [len(ids) - 1]
            spans.append(_Span(start, len(ids), piece.cache))
        rows = len(kept)
        for row in (ids, positions):
            row += [0] * (-len(row) % self._row_multiple)
        kept += kept[-1:] * (-rows % self._row_multiple)
        device = self._model.device
        _pass.spans = spans
        output = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(kept, device=device),
        )
        logits = output.logits[0, :rows].to("cpu", torch.float32)
        for piece in pieces:
            piece.cache.length += len(piece.ids)
        return list(logits.split([len(p.ids) if p.every else 1 for p in pieces]))
