"""The one attention function, "ochat_varlen", through which any Hugging Face causal LM is packed.

It knows how transformers calls attention; the kernels are in `attention_backends` and
`attention_kernels`, and whether a model keeps its sequences apart is found out by `isolation`.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import AttentionInterface

from .attention_backends import AttentionOptions
from .attention_kernels import choose_backend
from .errors import IsolationError
from .layout import SequenceLayout

if TYPE_CHECKING:
    from collections.abc import Generator

    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from .sequence_parallel import SequenceGroup

# The name must avoid "flash", "sdpa", "flex_attention", "paged|" and "/": transformers takes other
# code paths on them. No mask function may be registered under it, so no mask is ever built.
ATTENTION_NAME = "ochat_varlen"

# Channel for models whose layers drop keyword arguments (stablelm, nemotron): the layout of the
# batch in flight, and who holds it together. A module global, not a context variable, because CUDA
# runs the recomputation of activation checkpointing on another thread.
_in_flight: list[tuple[SequenceLayout, SequenceGroup | None]] = []


@contextmanager
def packed(layout: SequenceLayout, group: SequenceGroup | None = None) -> Generator[None]:
    """Makes `layout` the batch in flight; keep it open until after the backward pass.

    Where several ranks hold the batch together, each runs the model on its own tokens of it.
    """
    _in_flight.append((layout, group))
    try:
        yield
    finally:
        _in_flight.pop()


def batch_in_flight() -> SequenceLayout | None:
    """The layout that `packed` was opened with last; None outside of it."""
    return _in_flight[-1][0] if _in_flight else None


def attach_attention(model: PreTrainedModel) -> None:
    """Switches `model` to packed attention.

    `model.set_attn_implementation("sdpa")` switches back, and a saved config never names it.

    Raises:
        IsolationError: transformers does not let this architecture choose its attention.
    """
    try:
        model.set_attn_implementation(ATTENTION_NAME)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise IsolationError(
            f"model type {model.config.model_type!r} cannot be trained packed: transformers does "
            f"not let it use another attention function ({error})"
        ) from error


def packed_arguments(module: nn.Module, layout: SequenceLayout) -> dict[str, Any]:
    """Keyword arguments that tell `module.forward` about the packing, if it passes them on."""
    parameters = inspect.signature(module.forward).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return {}
    return {
        "cu_seq_lens_q": layout.cu_seqlens,
        "cu_seq_lens_k": layout.cu_seqlens,
        "max_length_q": layout.max_length,
        "max_length_k": layout.max_length,
    }


def _layout(cu_seqlens: torch.Tensor | None) -> SequenceLayout:
    """The layout of the call: the keyword's, else the batch in flight."""
    current = batch_in_flight()
    if current is not None and (cu_seqlens is None or cu_seqlens is current.cu_seqlens):
        return current
    if cu_seqlens is None:
        raise IsolationError(
            f"attention {ATTENTION_NAME!r} was called without a packed batch; for generation "
            'switch the model back with model.set_attn_implementation("sdpa")'
        )
    return SequenceLayout.from_cu_seqlens(cu_seqlens)


def _refuse_unsupported(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    attention_mask: torch.Tensor | None,
    is_causal: bool | None,
    extra: dict[str, Any],
) -> None:
    """Refuses what this function would otherwise silently compute wrongly."""
    name = type(module).__name__
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    reasons = {
        "it builds its own attention mask": attention_mask is not None,
        "it adds a bias per position": extra.get("position_bias") is not None,
        "its attention is not causal": not is_causal,
        "it attends to another sequence or a cache": query.shape[2] != key.shape[2],
        "it was called with more than one row": query.shape[0] != 1,
    }
    for reason, applies in reasons.items():
        if applies:
            raise IsolationError(f"{name} cannot run packed: {reason}")


def ochat_varlen(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    s_aux: torch.Tensor | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **extra: Any,  # noqa: ANN401 - transformers passes whatever the model was called with
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it, over one row that holds many sequences.

    Args:
        module: the calling layer, named in errors.
        query: `(1, heads, tokens, dim)`; `key` and `value` likewise with `kv_heads`.
        key: see `query`.
        value: see `query`; its last dimension may differ (latent attention).
        attention_mask: must be None: the borders come from `cu_seq_lens_q`.
        dropout: probability of dropping an attention weight.
        scaling: factor on the scores.
        sliding_window: a token sees itself and this many minus one before it.
        softcap: limit of the scores by a tanh.
        is_causal: False is refused.
        s_aux: one sink score per head.
        cu_seq_lens_q: int32 borders of the sequences; absent, the batch in flight is used.
        **extra: further keywords of transformers, not needed here.

    Returns:
        `(1, tokens, heads, value_dim)` and None in place of the attention weights.
    """
    _refuse_unsupported(module, query, key, attention_mask, is_causal, extra)
    layout = _layout(cu_seq_lens_q)
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    group = _in_flight[-1][1] if _in_flight else None
    if group is not None:
        q, k, v = (group.heads(tensor) for tensor in (q, k, v))
        s_aux = None if s_aux is None else group.share_of_heads(s_aux)
    options = AttentionOptions(
        scale=scaling, window=sliding_window, softcap=softcap, sinks=s_aux, dropout=dropout
    )
    output = choose_backend(q, v, options)(q, k, v, layout, options)
    return (output if group is None else group.tokens(output))[None], None


AttentionInterface.register(ATTENTION_NAME, ochat_varlen)
