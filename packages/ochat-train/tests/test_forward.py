from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from ochat_train.attention import attach_attention, packed
from ochat_train.batch import collate
from ochat_train.forward import TrainingModule

MakeModel = Callable[..., PreTrainedModel]
LENGTHS = (7, 23, 2, 20, 21, 7)


@dataclass(frozen=True)
class Example:
    ids: np.ndarray
    weights: np.ndarray
    condition: str = ""


def _examples() -> list[Example]:
    draw = np.random.default_rng(0)
    return [
        Example(
            draw.integers(3, 100, length).astype(np.int32),
            # Masked prompts, full and reduced weights, as C-RLFT has them.
            draw.choice([0.0, 1.0, 0.1], length).astype(np.float32),
        )
        for length in LENGTHS
    ]


def _unpacked_loss(model: PreTrainedModel, examples: list[Example]) -> torch.Tensor:
    """Weighted mean of plain cross entropies, each sequence alone through eager attention."""
    total, weight = torch.zeros(()), 0.0
    for example in examples:
        ids = torch.from_numpy(example.ids).long()
        weights = torch.from_numpy(example.weights)[1:]
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        losses = nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        total = total + (losses * weights).sum()
        weight += float(weights.sum())
    return total / weight


@pytest.mark.parametrize(
    "kind", ["llama", "mistral", "qwen2", "qwen3", "gpt_bigcode", "gemma2", "cohere", "granite"]
)
def test_gradients_of_the_weighted_loss_equal_those_of_an_unpacked_reference(
    make_model: MakeModel, kind: str
) -> None:
    examples = _examples()
    reference = make_model(kind, "eager")
    expected = _unpacked_loss(reference, examples)
    expected.backward()

    model = make_model(kind)
    attach_attention(model)
    batch = collate(examples)
    with packed(batch.layout):
        loss, _ = TrainingModule(model)(batch, float(batch.weights.sum()))
        loss.backward()

    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    wanted = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        other = wanted[name].grad
        assert parameter.grad is not None, name
        assert other is not None, name
        difference = (parameter.grad - other).norm() / other.norm().clamp(min=1e-6)
        assert difference < 1e-5, name
