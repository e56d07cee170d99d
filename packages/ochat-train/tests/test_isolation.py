from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from ochat_train import IsolationError, ModelError, probe_isolation

MakeModel = Callable[..., PreTrainedModel]


@pytest.mark.parametrize(
    "kind",
    [
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gpt_bigcode",
        "gemma2",
        "gpt_oss",
        "cohere",
        "stablelm",
        "nemotron",
        "granite",
        "phi",
        "gpt_neox",
        "olmo2",
        "gemma",
        "starcoder2",
        "opt",
    ],
)
def test_models_that_keep_sequences_apart_are_accepted(make_model: MakeModel, kind: str) -> None:
    probe_isolation(make_model(kind))


@pytest.mark.parametrize("kind", ["bloom", "xglm", "minimax", "recurrent_gemma", "mamba"])
def test_models_that_leak_are_refused_by_name(make_model: MakeModel, kind: str) -> None:
    with pytest.raises(IsolationError, match=f"'{kind}' leaks"):
        probe_isolation(make_model(kind))


def test_a_model_with_positions_of_its_own_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(IsolationError, match="'bart' treats a packed sequence differently"):
        probe_isolation(make_model("bart"))


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
def test_the_roberta_family_is_refused_by_name(make_model: MakeModel, kind: str) -> None:
    with pytest.raises(ModelError, match=f"'{kind}'"):
        probe_isolation(make_model(kind, is_decoder=True))


def test_a_leak_in_half_precision_is_seen(make_model: MakeModel) -> None:
    probe_isolation(make_model("llama", dtype=torch.bfloat16))
    with pytest.raises(IsolationError, match="leaks"):
        probe_isolation(make_model("bloom", dtype=torch.bfloat16))


def test_the_probe_leaves_the_mode_alone(make_model: MakeModel) -> None:
    model = make_model("llama").train()
    probe_isolation(model)
    assert model.training


def test_a_model_without_a_linear_head_is_refused(make_model: MakeModel) -> None:
    model = make_model("llama")
    model.set_output_embeddings(torch.nn.Identity())
    with pytest.raises(ModelError, match="no linear output layer"):
        probe_isolation(model)
