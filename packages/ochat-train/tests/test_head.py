from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from ochat_train import ModelError
from ochat_train.attention import attach_attention, packed
from ochat_train.forward import hidden_states, model_logits
from ochat_train.head import OutputHead, read_head, verify_head
from ochat_train.layout import SequenceLayout

MakeModel = Callable[..., PreTrainedModel]


def _verify(model: PreTrainedModel, head: OutputHead) -> None:
    attach_attention(model)
    layout = SequenceLayout.from_lengths([5, 4])
    ids = torch.arange(3, 12)
    positions = torch.cat([torch.arange(5), torch.arange(4)])

    def forward() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad(), packed(layout):
            return (
                hidden_states(model, ids, positions, layout),
                model_logits(model, ids, positions, layout),
            )

    verify_head(model, head, forward)


@pytest.mark.parametrize(
    ("kind", "config", "wrong"),
    [
        ("gemma2", {"final_logit_softcapping": 30.0}, {"softcap": None}),
        ("gemma2", {"final_logit_softcapping": 30.0}, {"softcap": 50.0}),
        ("cohere", {"logit_scale": 0.25}, {"scale": 1.0}),
        ("granite", {"logits_scaling": 4.0}, {"scale": 1.0}),
        ("llama", {}, {"softcap": 30.0}),
    ],
)
def test_the_head_read_from_a_model_is_its_own_and_a_wrong_one_is_refused(
    make_model: MakeModel, kind: str, config: dict[str, Any], wrong: dict[str, Any]
) -> None:
    model = make_model(kind, **config)
    head = read_head(model)
    _verify(model, head)
    with pytest.raises(ModelError, match=f"'{kind}' computes its logits in a way"):
        _verify(model, replace(head, **wrong))


def test_a_bias_of_the_head_is_read(make_model: MakeModel) -> None:
    model = make_model("phi")
    layer = model.get_output_embeddings()
    assert isinstance(layer, torch.nn.Linear)
    torch.nn.init.normal_(layer.bias)
    head = read_head(model)
    assert head.bias is not None
    _verify(model, head)
    with pytest.raises(ModelError):
        _verify(model, replace(head, bias=None))
