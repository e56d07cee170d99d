"""CUDA kernels for packed attention: FlashAttention 3 and 2 where installed, else PyTorch's own.

All take 16-bit values and borders of sequences; what they cannot do (attention sinks, float32, and
for some a cap on the scores) is left to `attention_backends`. Written to the signatures that the
projects publish: flash_attn 2.8, flash_attn_interface 3, torch 2.10 to 2.13.

Legend: as in `attention_backends`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from .attention_backends import AttentionOptions, sequence_sdpa

if TYPE_CHECKING:
    from collections.abc import Callable

    from .layout import SequenceLayout

    Backend = Callable[
        [torch.Tensor, torch.Tensor, torch.Tensor, SequenceLayout, AttentionOptions], torch.Tensor
    ]

_MAX_HEAD_DIM = 256
# Best first. FlashAttention 3 is for Hopper and newer, and wheels of it import anywhere.
_FLASH_MODULES = (("flash_attn_interface", 9), ("flash_attn", 8))


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A function with the keywords that this version of it knows."""

    function: Callable[..., Any]
    keywords: frozenset[str]


def choose_backend(query: torch.Tensor, value: torch.Tensor, options: AttentionOptions) -> Backend:
    """The fastest backend that computes exactly what a layer asks for."""
    half = value.dtype in (torch.bfloat16, torch.float16)
    dim, value_dim = query.shape[-1], value.shape[-1]
    fits = value_dim <= dim <= _MAX_HEAD_DIM and dim % 8 == 0
    if query.device.type != "cuda" or not half or not fits or options.sinks is not None:
        return sequence_sdpa
    flash = flash_kernel(torch.cuda.get_device_capability(query.device)[0])
    if flash is not None and _flash_can(flash, options):
        return flash_attention
    varlen = varlen_kernel()
    return torch_varlen if varlen is not None and _varlen_can(varlen, options) else sequence_sdpa


@cache
def flash_kernel(capability: int) -> _Kernel | None:
    """FlashAttention's function for this generation of GPU; None where it is not installed."""
    for name, least in _FLASH_MODULES:
        try:
            function = import_module(name).flash_attn_varlen_func
        except (ImportError, AttributeError, OSError):
            continue  # not installed, or built for another torch: the next one serves
        if capability >= least:
            return _Kernel(function, frozenset(inspect.signature(function).parameters))
    return None


@cache
def varlen_kernel() -> _Kernel | None:
    """PyTorch's variable-length attention; None before torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return _Kernel(varlen_attn, frozenset(inspect.signature(varlen_attn).parameters))


def _flash_can(kernel: _Kernel, options: AttentionOptions) -> bool:
    return (options.softcap is None or "softcap" in kernel.keywords) and (
        options.dropout == 0.0 or "dropout_p" in kernel.keywords
    )


def _varlen_can(kernel: _Kernel, options: AttentionOptions) -> bool:
    """No caps and no dropout; windows since torch 2.11."""
    windowed = options.window is not None and "window_size" not in kernel.keywords
    return options.softcap is None and options.dropout == 0.0 and not windowed


def flash_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: SequenceLayout,
    options: AttentionOptions,
) -> torch.Tensor:
    """Runs `flash_attn_varlen_func` of FlashAttention 3 or 2; grouped heads are its own business.

    Raises:
        RuntimeError: It is not installed; callers ask `choose_backend`.
    """
    capability = torch.cuda.get_device_capability(query.device)[0] if query.is_cuda else 0
    kernel = flash_kernel(capability)
    if kernel is None:
        raise RuntimeError("FlashAttention is not installed for this GPU")
    special: dict[str, Any] = {}
    if options.softcap is not None:
        special["softcap"] = options.softcap
    if options.dropout:
        special["dropout_p"] = options.dropout
    output = kernel.function(
        *_as_kernels_want(query, key, value),
        cu_seqlens_q=layout.cu_seqlens,
        cu_seqlens_k=layout.cu_seqlens,
        max_seqlen_q=layout.max_length,
        max_seqlen_k=layout.max_length,
        softmax_scale=options.scale,
        causal=True,
        window_size=(_tokens_before(options), 0) if options.window else (-1, -1),
        **special,
    )
    # Some releases of FlashAttention 3 return the log-sum-exp beside the output.
    whole = output[0] if isinstance(output, tuple) else output
    return whole[..., : value.shape[-1]]


def torch_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: SequenceLayout,
    options: AttentionOptions,
) -> torch.Tensor:
    """Runs `torch.nn.attention.varlen.varlen_attn`: nothing to install.

    Raises:
        RuntimeError: This PyTorch has none; callers ask `choose_backend`.
    """
    kernel = varlen_kernel()
    if kernel is None:
        raise RuntimeError(f"torch {torch.__version__} has no variable-length attention")
    value_dim = value.shape[-1]
    query, key, value = _as_kernels_want(query, key, value)
    arguments: dict[str, Any] = {}
    if "window_size" in kernel.keywords:
        arguments["window_size"] = (_tokens_before(options), 0)
    else:
        arguments["is_causal"] = True
    if options.scale is not None:
        if "scale" in kernel.keywords:
            arguments["scale"] = options.scale
        else:  # torch 2.10 always divides by the root of the head dimension
            query = query * (options.scale * query.shape[-1] ** 0.5)
    if query.shape[1] != key.shape[1]:
        if "enable_gqa" in kernel.keywords:
            arguments["enable_gqa"] = True
        else:
            times = query.shape[1] // key.shape[1]
            key, value = (tensor.repeat_interleave(times, dim=1) for tensor in (key, value))
    borders = layout.cu_seqlens, layout.cu_seqlens, layout.max_length, layout.max_length
    return kernel.function(query, key, value, *borders, **arguments)[..., :value_dim]


def _as_kernels_want(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One precision (autocast leaves rotated heads in float32), one head dimension (latent heads).

    Padded dimensions of the values give zeros, which the caller cuts off again.
    """
    missing = query.shape[-1] - value.shape[-1]
    padded = torch.nn.functional.pad(value, (0, missing)) if missing else value
    return query.to(value.dtype), key.to(value.dtype), padded


def _tokens_before(options: AttentionOptions) -> int:
    """The kernels' windows count tokens before the query, Hugging Face's count the query too."""
    return -1 if options.window is None else options.window - 1
