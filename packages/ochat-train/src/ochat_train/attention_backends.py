"""Causal attention inside each sequence of a packed batch by PyTorch's own attention.

The backend that runs everywhere; the fast ones of CUDA are in `attention_kernels`, and how a model
reaches them is decided in `attention`.

Legend: `query` (tokens, heads, dim), `key` (tokens, kv_heads, dim), `value` (tokens, kv_heads,
value_dim); every backend returns (tokens, heads, value_dim).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import dropout, scaled_dot_product_attention

if TYPE_CHECKING:
    from .layout import Grouping, SequenceLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionOptions:
    """What a layer asks of attention besides causality.

    Attributes:
        scale: factor on the scores; None is one over the root of the head dimension.
        window: a token sees itself and the `window - 1` tokens before it; None is all of them.
        softcap: scores become `softcap * tanh(score / softcap)`; None is off.
        sinks: one learned score per head that takes part in the softmax only; None is off.
        dropout: probability of dropping an attention weight.
    """

    scale: float | None = None
    window: int | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None
    dropout: float = 0.0


def sequence_sdpa(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: SequenceLayout,
    options: AttentionOptions,
) -> torch.Tensor:
    """Runs PyTorch's own attention over groups of sequences of similar length.

    Works on every device and precision, with every option. Sequences are padded to the longest
    of their group at the end, where causality hides the padding from every real token.
    """
    grouping = layout.grouping
    padded = [_ToCells.apply(tensor, grouping) for tensor in (query, key, value)]
    sizes = [group.count * group.length for group in grouping.groups]
    outputs: list[torch.Tensor] = []
    for group, q, k, v in zip(
        grouping.groups, *(tensor.split(sizes) for tensor in padded), strict=True
    ):
        cells = (group.count, group.length)
        output = _rectangle(
            q.unflatten(0, cells).transpose(1, 2),
            k.unflatten(0, cells).transpose(1, 2),
            v.unflatten(0, cells).transpose(1, 2),
            options,
        )
        outputs.append(output.transpose(1, 2).flatten(0, 1))
    return _ToTokens.apply(torch.cat(outputs), grouping)


class _ToCells(torch.autograd.Function):
    """Tokens to padded cells.

    The gradient of a padding cell is exactly zero, since no real token attends to it and its own
    output is dropped; so the backward pass is a selection too, which is many times faster than the
    scattered addition that autograd would do.
    """

    # torch declares these methods with *args, and typing.override needs Python 3.12.
    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context object has no public type
        tokens: torch.Tensor,
        grouping: Grouping,
    ) -> torch.Tensor:
        ctx.grouping = grouping
        return tokens.index_select(0, grouping.gather)

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return grad.index_select(0, ctx.grouping.scatter), None


class _ToTokens(torch.autograd.Function):
    """Padded cells to tokens; padding is dropped and gets a gradient of zero."""

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def forward(
        ctx: Any,  # noqa: ANN401
        cells: torch.Tensor,
        grouping: Grouping,
    ) -> torch.Tensor:
        ctx.grouping = grouping
        return cells.index_select(0, grouping.scatter)

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        grouping: Grouping = ctx.grouping
        padded = grad.new_zeros(grouping.gather.numel(), *grad.shape[1:])
        return padded.index_copy_(0, grouping.scatter, grad), None


def _rectangle(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: AttentionOptions
) -> torch.Tensor:
    """Causal attention on `(count, heads, length, dim)`."""
    length = query.shape[2]
    windowed = options.window is not None and options.window < length
    if options.softcap is not None or options.sinks is not None:
        return _explicit(query, key, value, options)
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=_visible(length, options.window, query.device) if windowed else None,
        dropout_p=options.dropout,
        is_causal=not windowed,
        scale=options.scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _visible(length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Boolean `(length, length)`: which key (column) a query (row) may see."""
    position = torch.arange(length, device=device)
    distance = position[:, None] - position[None, :]
    visible = distance >= 0
    return visible if window is None else visible & (distance < window)


def _explicit(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: AttentionOptions
) -> torch.Tensor:
    """Attention with the score matrix written out, for what fused kernels do not offer."""
    heads, length, dim = query.shape[1:]
    repeat = heads // key.shape[1]
    key, value = (tensor.repeat_interleave(repeat, dim=1) for tensor in (key, value))
    scores = query @ key.transpose(-1, -2) * (options.scale or dim**-0.5)
    if options.softcap is not None:
        scores = options.softcap * torch.tanh(scores / options.softcap)
    scores = scores.float().masked_fill(
        ~_visible(length, options.window, query.device), float("-inf")
    )
    if options.sinks is not None:
        sink = options.sinks.float().view(1, heads, 1, 1).expand(scores.shape[0], -1, length, 1)
        weights = torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return dropout(weights, options.dropout).to(value.dtype) @ value
