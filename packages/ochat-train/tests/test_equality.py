"""Packed, accumulated and unpacked training are the same training, in float32.

The unpacked side is written with plain Transformers and plain PyTorch: every sequence alone through
eager attention, full logits, `torch.optim.AdamW`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from ochat_train import TrainConfig, probe_isolation
from ochat_train.batch import PackedBatch, collate
from ochat_train.engine import SingleProcessEngine
from ochat_train.examples import TrainingExample

MakeModel = Callable[..., PreTrainedModel]
LENGTHS = (7, 23, 2, 20, 31, 7, 12, 5)
STEPS = 5
LR = 1e-3
CONFIG = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32", eps=1e-5)


def steps() -> list[list[TrainingExample]]:
    draw = np.random.default_rng(0)

    def example(length: int) -> TrainingExample:
        # Masked prompts, full and reduced weights, as C-RLFT has them; the last is always learnt.
        weights = draw.choice([0.0, 1.0, 0.1], length).astype(np.float32)
        weights[-1] = 1.0
        ids = draw.integers(3, 100, length).astype(np.int32)
        return TrainingExample(id="", ids=ids, weights=weights, condition="")

    return [[example(length) for length in LENGTHS] for _ in range(STEPS)]


def denominator(examples: Sequence[TrainingExample]) -> float:
    return float(sum(example.weights[1:].sum(dtype=np.float64) for example in examples))


def trained(model: PreTrainedModel, parts: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and parameters after training in `parts` packed batches a step."""
    probe_isolation(model)
    engine = SingleProcessEngine(model, CONFIG)
    losses: list[float] = []
    for examples in steps():
        batches = [collate(examples[part::parts]) for part in range(parts)]
        sums = engine.train_step(batches, denominator(examples), LR)
        losses.append(float(sums.loss))
    return losses, {name: p.detach() for name, p in engine.model.named_parameters()}


def trained_unpacked(model: PreTrainedModel) -> tuple[list[float], dict[str, torch.Tensor]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=LR,
        betas=(0.9, 0.95),
        eps=1e-5,
    )
    losses: list[float] = []
    for examples in steps():
        total = torch.zeros(())
        for example in examples:
            ids = torch.from_numpy(example.ids).long()
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
            each = nn.functional.cross_entropy(logits, ids[1:], reduction="none")
            total = total + (each * torch.from_numpy(example.weights)[1:]).sum()
        loss = total / denominator(examples)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses, {name: p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt_bigcode", "qwen3", "gemma2"])
@pytest.mark.parametrize("parts", [1, 3])
def test_five_steps_packed_or_accumulated_equal_five_steps_unpacked(
    make_model: MakeModel, kind: str, parts: int
) -> None:
    # Where a parameter starts at zero and its gradient nearly vanishes (GPTBigCode's bias of keys,
    # Gemma's norms), Adam makes rounding visible: then float32 itself is 1e-6 from float64, packed
    # or not. Weights of this size keep it below.
    spread = 4.0 if kind == "gemma2" else 1.0
    expected_losses, expected = trained_unpacked(make_model(kind, "eager", spread=spread))
    losses, parameters = trained(make_model(kind, spread=spread), parts)
    assert losses == pytest.approx(expected_losses, rel=1e-6)
    for name, parameter in parameters.items():
        difference = (parameter - expected[name]).norm() / expected[name].norm().clamp(min=1e-12)
        assert difference < 1e-6, name


def test_a_rank_without_work_in_an_accumulated_step_changes_nothing(
    make_model: MakeModel,
) -> None:
    examples = steps()[0]
    weights: list[torch.Tensor] = []
    idle: list[list[PackedBatch]] = [[], [collate([])]]
    for more in idle:
        model = make_model("llama")
        probe_isolation(model)
        engine = SingleProcessEngine(model, CONFIG)
        engine.train_step([collate(examples), *more], denominator(examples), LR)
        weights.append(torch.cat([p.detach().flatten() for p in engine.model.parameters()]))
    assert torch.equal(*weights)
