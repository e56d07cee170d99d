from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from ochat_data import TokenDataset
from ochat_train import TrainConfig, probe_isolation
from ochat_train.engine import SingleProcessEngine
from ochat_train.examples import ExampleSet
from ochat_train.held_out import evaluate_held_out
from ochat_train.run_plan import PlanSettings, plan_epoch

MakeModel = Callable[..., PreTrainedModel]


def test_held_out_figures_equal_a_plain_evaluation_of_each_conversation(
    make_model: MakeModel, dataset: Path
) -> None:
    opened = TokenDataset.open(dataset)
    split = opened.split("eval")
    model = make_model("llama", vocab_size=opened.vocab_size)
    reference = make_model("llama", "eager", vocab_size=opened.vocab_size)
    probe_isolation(model)
    config = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32")
    engine = SingleProcessEngine(model, config)
    plan = plan_epoch(ExampleSet(split), PlanSettings(capacity=300), 0)
    result = evaluate_held_out(engine, plan, step=7, epoch=1)

    rows: list[tuple[str, float, float, float]] = []
    for index in range(len(split)):
        example = split.example(index)
        ids = torch.from_numpy(np.array(example.ids)).long()
        with torch.no_grad():
            logits = reference(input_ids=ids[None], use_cache=False).logits[0, :-1]
        losses = nn.functional.cross_entropy(logits, ids[1:], reduction="none").tolist()
        hits = (logits.argmax(-1) == ids[1:]).tolist()
        weights = example.weights[1:].tolist()
        rows += [
            (example.condition, weight, loss, hit)
            for weight, loss, hit in zip(weights, losses, hits, strict=True)
            if weight
        ]
    assert set(result.conditions) == {"GPT3", "GPT4"}
    for name, figures in [*result.conditions.items(), (None, result.overall)]:
        chosen = [row for row in rows if name in (None, row[0])]
        weight = sum(row[1] for row in chosen)
        assert figures.tokens == len(chosen)
        assert figures.loss == pytest.approx(sum(r[1] * r[2] for r in chosen) / weight, rel=1e-5)
        assert figures.accuracy == pytest.approx(sum(row[3] for row in chosen) / len(chosen))


def test_evaluation_leaves_the_model_in_its_mode(make_model: MakeModel, dataset: Path) -> None:
    opened = TokenDataset.open(dataset)
    split = opened.split("eval")
    model = make_model("llama", vocab_size=opened.vocab_size)
    probe_isolation(model)
    model.train()
    config = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32")
    plan = plan_epoch(ExampleSet(split), PlanSettings(capacity=300), 0)
    evaluate_held_out(SingleProcessEngine(model, config), plan, step=0, epoch=0)
    assert model.training
