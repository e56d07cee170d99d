from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from ochat_train import IsolationError
from ochat_train.attention import ATTENTION_NAME, attach_attention, packed
from ochat_train.attention_backends import AttentionOptions, sequence_sdpa
from ochat_train.forward import model_logits
from ochat_train.layout import SequenceLayout

MakeModel = Callable[..., PreTrainedModel]
# Longer than the windows of the toy models, with two of equal and two of similar length.
LENGTHS = (7, 33, 1, 20, 31, 7)


def _sequences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 100, (length,), generator=generator) for length in LENGTHS]


def _packed_logits(model: PreTrainedModel, layout: SequenceLayout) -> torch.Tensor:
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    with packed(layout):
        return model_logits(model, torch.cat(_sequences()), positions, layout)


@pytest.mark.parametrize(
    "kind",
    ["llama", "mistral", "qwen2", "qwen3", "gpt_bigcode", "gemma2", "gpt_oss", "cohere", "granite"],
)
@torch.no_grad()
def test_packed_logits_equal_those_of_each_sequence_alone(make_model: MakeModel, kind: str) -> None:
    reference = make_model(kind, "eager")
    alone = [reference(input_ids=ids[None], use_cache=False).logits[0] for ids in _sequences()]
    model = make_model(kind)
    attach_attention(model)
    together = _packed_logits(model, SequenceLayout.from_lengths(LENGTHS))
    assert (together - torch.cat(alone)).abs().max() < 1e-4


@torch.no_grad()
def test_a_window_larger_by_one_gives_other_logits(make_model: MakeModel) -> None:
    """The comparison above would see an off-by-one in the window."""
    logits: list[torch.Tensor] = []
    for window in (6, 7):
        model = make_model("mistral", sliding_window=window)
        attach_attention(model)
        logits.append(_packed_logits(model, SequenceLayout.from_lengths(LENGTHS)))
    assert (logits[0] - logits[1]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["stablelm", "nemotron"])
@torch.no_grad()
def test_a_model_that_drops_keywords_reads_the_batch_in_flight(
    make_model: MakeModel, kind: str
) -> None:
    reference = make_model(kind, "eager")
    alone = [reference(input_ids=ids[None], use_cache=False).logits[0] for ids in _sequences()]
    model = make_model(kind)
    attach_attention(model)
    together = _packed_logits(model, SequenceLayout.from_lengths(LENGTHS))
    assert (together - torch.cat(alone)).abs().max() < 1e-4


@torch.no_grad()
def test_borders_given_as_keywords_win_over_the_batch_in_flight(make_model: MakeModel) -> None:
    model = make_model("llama")
    attach_attention(model)
    layout = SequenceLayout.from_lengths(LENGTHS)
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    expected = _packed_logits(model, layout)
    other = SequenceLayout.from_lengths([sum(LENGTHS)])
    with packed(other):
        got = model_logits(model, torch.cat(_sequences()), positions, layout)
    assert torch.equal(got, expected)


def test_attention_without_a_batch_says_how_to_generate(make_model: MakeModel) -> None:
    model = make_model("llama")
    attach_attention(model)
    with pytest.raises(IsolationError, match="set_attn_implementation"):
        model(input_ids=torch.tensor([[5, 6, 7]]))


def test_a_padded_batch_is_refused(make_model: MakeModel) -> None:
    model = make_model("llama")
    attach_attention(model)
    with (
        packed(SequenceLayout.from_lengths([3])),
        pytest.raises(IsolationError, match="more than one row"),
    ):
        model(input_ids=torch.ones(2, 3, dtype=torch.int64), use_cache=False)


def test_the_batch_in_flight_ends_with_its_block(make_model: MakeModel) -> None:
    model = make_model("llama")
    attach_attention(model)
    with pytest.raises(RuntimeError, match="boom"), packed(SequenceLayout.from_lengths([3])):
        raise RuntimeError("boom")
    with pytest.raises(IsolationError):
        model(input_ids=torch.tensor([[5, 6, 7]]))


def test_the_attention_name_takes_no_special_path_of_transformers() -> None:
    for word in ("flash", "sdpa", "flex_attention", "paged|", "/"):
        assert word not in ATTENTION_NAME


def test_gradients_of_grouped_attention_equal_those_of_single_sequences() -> None:
    generator = torch.Generator().manual_seed(0)
    layout = SequenceLayout.from_lengths(LENGTHS)
    tokens = sum(LENGTHS)

    def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generator.manual_seed(0)

        def draw(heads: int, dim: int) -> torch.Tensor:
            shape = (tokens, heads, dim)
            return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

        return draw(4, 8), draw(2, 8), draw(2, 6)

    options = AttentionOptions(scale=0.7, window=9)
    together = inputs()
    output = sequence_sdpa(*together, layout=layout, options=options)
    upstream = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    (output * upstream).sum().backward()

    alone = inputs()
    pieces = [tensor.split(LENGTHS) for tensor in alone]
    outputs = [
        sequence_sdpa(q, k, v, SequenceLayout.from_lengths([len(q)]), options)
        for q, k, v in zip(*pieces, strict=True)
    ]
    (torch.cat(outputs) * upstream).sum().backward()
    assert torch.allclose(output, torch.cat(outputs), atol=1e-12)
    for one, other in zip(together, alone, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-12)
