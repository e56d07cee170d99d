from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from ochat_train import ConfigError, probe_isolation
from ochat_train.attention import packed
from ochat_train.config import RopeScaling
from ochat_train.forward import model_logits
from ochat_train.layout import SequenceLayout
from ochat_train.rope import longest_context, scale_rope

MakeModel = Callable[..., PreTrainedModel]
# Below, at and above the 16 positions of the unscaled model, in an order that would mislead.
LENGTHS = (20, 9, 31, 16, 5, 24)


def config(**more: object) -> PreTrainedConfig:
    return AutoConfig.for_model(
        "llama",
        vocab_size=101,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        **more,
    )


def sequences() -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for length in LENGTHS:
        yield torch.randint(3, 100, (length,), generator=generator)


def build(kind: RopeScaling, attention: str | None = None) -> PreTrainedModel:
    scaled = config()
    scale_rope(scaled, kind, 2.0)
    torch.manual_seed(0)
    chosen: dict[str, str] = {} if attention is None else {"attn_implementation": attention}
    model = AutoModelForCausalLM.from_config(scaled, dtype=torch.float32, **chosen)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4.0)
    return model.eval()


@pytest.mark.parametrize(("kind", "positions"), [("linear", 32), ("yarn", 32), ("dynamic", 16)])
def test_a_context_is_stretched_as_transformers_reads_it(kind: RopeScaling, positions: int) -> None:
    scaled = config()
    scale_rope(scaled, kind, 2.0)
    assert scaled.max_position_embeddings == positions
    assert longest_context(scaled) == 32
    assert scaled.rope_parameters["rope_type"] == kind
    # What is written is read back the same.
    again = AutoConfig.for_model(**scaled.to_dict())
    assert again.rope_parameters == scaled.rope_parameters


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn"])
@torch.no_grad()
def test_packed_logits_are_those_of_each_sequence_alone(kind: RopeScaling) -> None:
    """Also where the frequencies depend on how long a sequence is."""
    alone: list[torch.Tensor] = []
    for ids in sequences():
        reference = build(kind, "eager")  # a fresh model, that has met no other sequence
        alone.append(reference(input_ids=ids[None], use_cache=False).logits[0])
    model = build(kind)
    probe_isolation(model)
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    layout = SequenceLayout.from_lengths(LENGTHS)
    for _ in range(2):  # what one batch met must not stay behind for the next
        with packed(layout):
            together = model_logits(model, torch.cat(list(sequences())), positions, layout)
        assert (together - torch.cat(alone)).abs().max() < 1e-4


@torch.no_grad()
def test_without_care_a_long_neighbour_would_change_a_short_sequence() -> None:
    """The comparison above would see it."""
    ids = next(sequences())[:9]
    fresh = build("dynamic", "eager")(input_ids=ids[None], use_cache=False).logits[0]
    model = build("dynamic", "eager")
    long = torch.cat([ids, ids, ids])
    positions = torch.cat([torch.arange(9), torch.arange(18)])[None]
    together = model(input_ids=long[None], position_ids=positions, use_cache=False).logits[0, :9]
    assert (together - fresh).abs().max() > 1e-3


def test_what_cannot_be_stretched_is_refused() -> None:
    scaled = config()
    scale_rope(scaled, "linear", 2.0)
    with pytest.raises(ConfigError, match="scales its positions already"):
        scale_rope(scaled, "yarn", 2.0)
    with pytest.raises(ConfigError, match="'gpt2' has no rotary positions"):
        scale_rope(AutoConfig.for_model("gpt2"), "linear", 2.0)
    assert longest_context(AutoConfig.for_model("gpt2")) == 1024
    assert longest_context(AutoConfig.for_model("mamba")) is None
