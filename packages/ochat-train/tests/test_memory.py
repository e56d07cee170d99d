from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from ochat_train import TrainConfig, probe_isolation
from ochat_train.batch import collate
from ochat_train.engine import SingleProcessEngine
from ochat_train.examples import TrainingExample
from ochat_train.flops import StepFlops
from ochat_train.forward import embedding_table
from ochat_train.memory import Parameters, count_parameters, estimate_memory

MakeModel = Callable[..., PreTrainedModel]
LLAMA_7B = Parameters(total=6_738_415_616, vocabulary=32_000, hidden=4096, layers=32)


def bytes_of(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> int:
    tensors = list(model.parameters()) + [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.ndim
    ]
    gradients = sum(p.numel() * 4 for p in model.parameters())
    return gradients + sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_the_states_of_one_process_are_what_it_really_holds(make_model: MakeModel) -> None:
    model = make_model("llama")
    probe_isolation(model)
    config = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32")
    engine = SingleProcessEngine(model, config)
    example = TrainingExample(
        id="", ids=np.arange(3, 9, dtype=np.int32), weights=np.ones(6, np.float32), condition=""
    )
    engine.train_step([collate([example])], 5.0, 1e-3)
    estimate = estimate_memory(
        count_parameters(model.config),
        batch_tokens=6,
        world_size=1,
        zero_stage=None,
        gradient_checkpointing=False,
        half=False,
    )
    assert estimate.states == bytes_of(model, engine.optimizer)


def test_stages_share_what_the_paper_says() -> None:
    """The ZeRO paper's own example: a 7.5B model over 64 ranks, table in its figure 1."""
    sizes = Parameters(total=7_500_000_000, vocabulary=1, hidden=1, layers=1)
    billions = [
        estimate_memory(
            sizes, batch_tokens=1, world_size=64, zero_stage=stage, gradient_checkpointing=True
        ).states
        / 1e9
        for stage in (0, 1, 2, 3)
    ]
    assert billions == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.06)


def test_checkpointing_and_ranks_take_less() -> None:
    def total(*, ranks: int = 8, saving: bool = False) -> int:
        return estimate_memory(
            LLAMA_7B,
            batch_tokens=16_384,
            world_size=ranks,
            zero_stage=2,
            gradient_checkpointing=saving,
        ).total

    assert total(saving=True) < total() / 2
    assert total(ranks=16) < total(ranks=8)


def test_parameters_are_counted_without_memory_for_them(make_model: MakeModel) -> None:
    for kind in ("llama", "gemma2"):
        model = make_model(kind)
        counted = count_parameters(model.config)
        assert counted.total == sum(p.numel() for p in model.parameters())


def test_flops_count_matrices_attention_and_a_tied_table_once(make_model: MakeModel) -> None:
    model = make_model("llama", tie_word_embeddings=False)
    table = embedding_table(model).numel()
    matrices = sum(p.numel() for p in model.parameters()) - table
    flops = StepFlops(model)
    assert flops(10, 0) == 6 * matrices * 10
    # Two layers of four heads of eight.
    assert flops(0, 100) == 6 * 2 * 4 * 8 * 100
    tied = make_model("llama", tie_word_embeddings=True)
    assert StepFlops(tied)(1, 0) == 6 * sum(p.numel() for p in tied.parameters())
