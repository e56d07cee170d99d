"""The CUDA kernels' calling conventions, held against stand-ins with the published signatures.

Each stand-in computes on the CPU what its project documents, so that an off-by-one in a window, a
wrong scale or a forgotten head group shows. Whether the real kernels agree, the tests marked `gpu`
say.
"""

# ruff: noqa: ARG001 - the stand-ins' parameters are the projects' own
from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from ochat_train import attention_kernels as kernels
from ochat_train.attention_backends import AttentionOptions, sequence_sdpa
from ochat_train.layout import SequenceLayout

LENGTHS = (7, 33, 1, 20)
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(autouse=True)
def fresh_search() -> Iterator[None]:
    """Every test looks for kernels anew, and leaves none behind."""
    kernels.flash_kernel.cache_clear()
    kernels.varlen_kernel.cache_clear()
    yield
    kernels.flash_kernel.cache_clear()
    kernels.varlen_kernel.cache_clear()


def tensors(kv_heads: int = 2, value_dim: int = 16) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 16), (kv_heads, 16), (kv_heads, value_dim))
    query, key, value = (torch.randn(sum(LENGTHS), *shape, generator=generator) for shape in shapes)
    return query, key, value


def by_definition(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    borders: torch.Tensor,
    *,
    scale: float | None,
    left: int,
    softcap: float = 0.0,
) -> torch.Tensor:
    """Causal attention written out; `left` tokens before the query are seen, -1 means all."""
    assert query.shape[1] % key.shape[1] == 0
    times = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    outputs: list[torch.Tensor] = []
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        q, k, v = (tensor[start:end].transpose(0, 1) for tensor in (query, key, value))
        scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        scores = softcap * torch.tanh(scores / softcap) if softcap else scores
        place = torch.arange(end - start)
        distance = place[:, None] - place[None, :]
        seen = (distance >= 0) & ((distance <= left) if left >= 0 else True)
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        outputs.append((weights @ v).transpose(0, 1))
    return torch.cat(outputs)


def torch_2_10(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
    return_aux: Any = None,
) -> torch.Tensor:
    assert is_causal
    assert query.shape[1] == key.shape[1]
    assert return_aux is None
    assert (max_q, max_k) == (33, 33)
    return by_definition(query, key, value, cu_seq_q, scale=None, left=-1)


def torch_2_11(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    assert query.shape[1] == key.shape[1]
    assert window_size[1] == 0
    return by_definition(query, key, value, cu_seq_q, scale=scale, left=window_size[0])


def torch_2_13(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    num_splits: int | None = None,
) -> torch.Tensor:
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert window_size[1] == 0
    return by_definition(query, key, value, cu_seq_q, scale=scale, left=window_size[0])


def flash_2(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> torch.Tensor:
    assert causal
    return by_definition(
        q, k, v, cu_seqlens_q, scale=softmax_scale, left=window_size[0], softcap=softcap
    )


def flash_3(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> tuple[torch.Tensor, torch.Tensor]:
    assert causal
    whole = by_definition(q, k, v, cu_seqlens_q, scale=softmax_scale, left=window_size[0])
    return whole, torch.zeros(())


def install(patch: pytest.MonkeyPatch, name: str, attribute: str, function: Any) -> None:
    module = types.ModuleType(name)
    setattr(module, attribute, function)
    patch.setitem(sys.modules, name, module)


OPTIONS = [
    AttentionOptions(),
    AttentionOptions(scale=0.3),
    AttentionOptions(window=6),
    AttentionOptions(window=1, scale=0.5),
]


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("value_dim", [16, 8])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("stand_in", [torch_2_10, torch_2_11, torch_2_13])
def test_torchs_kernel_is_called_for_what_the_layer_asks(
    monkeypatch: pytest.MonkeyPatch,
    stand_in: Callable[..., torch.Tensor],
    options: AttentionOptions,
    value_dim: int,
    kv_heads: int,
) -> None:
    install(monkeypatch, "torch.nn.attention.varlen", "varlen_attn", stand_in)
    kernel = kernels.varlen_kernel()
    assert kernel is not None
    if stand_in is torch_2_10 and options.window is not None:
        assert not kernels._varlen_can(kernel, options)
        return
    assert kernels._varlen_can(kernel, options)
    inputs = tensors(kv_heads, value_dim)
    layout = SequenceLayout.from_lengths(LENGTHS)
    got = kernels.torch_varlen(*inputs, layout, options)
    assert torch.allclose(got, sequence_sdpa(*inputs, layout, options), atol=1e-5)


@pytest.mark.parametrize("value_dim", [16, 8])
@pytest.mark.parametrize("options", [*OPTIONS, AttentionOptions(softcap=2.0, window=9)])
@pytest.mark.parametrize(
    ("name", "stand_in"), [("flash_attn", flash_2), ("flash_attn_interface", flash_3)]
)
def test_flash_attention_is_called_for_what_the_layer_asks(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stand_in: Callable[..., Any],
    options: AttentionOptions,
    value_dim: int,
) -> None:
    install(monkeypatch, name, "flash_attn_varlen_func", stand_in)
    monkeypatch.setattr(kernels, "_FLASH_MODULES", ((name, 0),))
    kernel = kernels.flash_kernel(0)
    assert kernel is not None
    if options.softcap is not None and stand_in is flash_3:
        assert not kernels._flash_can(kernel, options)
        return
    inputs = tensors(value_dim=value_dim)
    layout = SequenceLayout.from_lengths(LENGTHS)
    got = kernels.flash_attention(*inputs, layout, options)
    assert torch.allclose(got, sequence_sdpa(*inputs, layout, options), atol=1e-5)


def test_flash_attention_3_is_for_hopper_and_2_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, "flash_attn", "flash_attn_varlen_func", flash_2)
    install(monkeypatch, "flash_attn_interface", "flash_attn_varlen_func", flash_3)
    for capability, expected in ((9, flash_3), (8, flash_2), (7, None)):
        kernel = kernels.flash_kernel(capability)
        assert (kernel.function if kernel else None) is expected


def test_a_flash_attention_that_cannot_be_loaded_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn_interface", None)
    install(monkeypatch, "flash_attn", "something_else", flash_2)
    assert kernels.flash_kernel(9) is None


def test_what_no_kernel_can_do_is_left_to_pytorch() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        query = torch.zeros(3, 2, 8, dtype=dtype)
        assert kernels.choose_backend(query, query, AttentionOptions()) is sequence_sdpa


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("value_dim", [64, 32])
def test_the_cuda_kernel_equals_sdpa(window: int | None, value_dim: int) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    q, k, v = (
        torch.randn(
            sum(LENGTHS), heads, dim, generator=generator, device="cuda", dtype=torch.bfloat16
        )
        for heads, dim in ((4, 64), (2, 64), (2, value_dim))
    )
    layout = SequenceLayout.from_lengths(LENGTHS, torch.device("cuda"))
    options = AttentionOptions(window=window)
    backend = kernels.choose_backend(q, v, options)
    assert backend is not sequence_sdpa
    expected = sequence_sdpa(q.float(), k.float(), v.float(), layout, options)
    assert (backend(q, k, v, layout, options).float() - expected).abs().max() < 3e-2
