from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from ochat_train import CheckpointError, TrainConfig, probe_isolation
from ochat_train.batch import collate
from ochat_train.engine import SingleProcessEngine, build_optimizer

MakeModel = Callable[..., PreTrainedModel]
CONFIG = TrainConfig(
    model=Path("model"), data=Path("data"), output=Path("output"), precision="fp32", lr=1e-2
)


@dataclass(frozen=True)
class Example:
    ids: np.ndarray
    weights: np.ndarray
    condition: str = ""


def _example(seed: int, weight: float = 1.0) -> Example:
    draw = np.random.default_rng(seed)
    return Example(
        draw.integers(3, 100, 12).astype(np.int32), np.full(12, weight, dtype=np.float32)
    )


def _engine(make_model: MakeModel, config: TrainConfig = CONFIG) -> SingleProcessEngine:
    model = make_model("llama")
    probe_isolation(model)
    return SingleProcessEngine(model, config)


def _flat(engine: SingleProcessEngine) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in engine.model.parameters()])


def test_a_step_divides_by_the_denominator_it_is_given(make_model: MakeModel) -> None:
    batch = collate([_example(0), _example(1)])
    one = _engine(make_model).train_step([batch], 22.0, 1e-2)
    two = _engine(make_model).train_step([batch], 44.0, 1e-2)
    assert float(one.loss) == pytest.approx(2 * float(two.loss), rel=1e-6)
    assert one.grad_norm is not None
    assert two.grad_norm is not None
    assert float(one.grad_norm) == pytest.approx(2 * float(two.grad_norm), rel=1e-5)


def test_only_the_ratio_of_the_weights_matters(make_model: MakeModel) -> None:
    full, tenth = _engine(make_model), _engine(make_model)
    full.train_step([collate([_example(0), _example(1)])], 22.0, 1e-2)
    tenth.train_step([collate([_example(0, 0.1), _example(1, 0.1)])], 2.2, 1e-2)
    assert torch.allclose(_flat(full), _flat(tenth), atol=1e-4)


def test_steps_lower_the_loss(make_model: MakeModel) -> None:
    engine = _engine(make_model)
    batch = collate([_example(0)])
    losses = [float(engine.train_step([batch], 11.0, 1e-2).loss) for _ in range(10)]
    assert losses[-1] < losses[0] * 0.7


def test_the_gradient_is_clipped(make_model: MakeModel) -> None:
    before = _flat(_engine(make_model))
    engine = _engine(make_model, replace(CONFIG, max_grad_norm=1e-9, eps=1.0, weight_decay=0.0))
    engine.train_step([collate([_example(0)])], 11.0, 1.0)
    assert (_flat(engine) - before).norm() < 1e-6


def test_bf16_computes_in_half_precision_over_float32_weights(make_model: MakeModel) -> None:
    batch = collate([_example(0), _example(1)])
    exact = _engine(make_model).train_step([batch], 22.0, 1e-2)
    engine = _engine(make_model, replace(CONFIG, precision="bf16"))
    rough = engine.train_step([batch], 22.0, 1e-2)
    assert float(rough.loss) == pytest.approx(float(exact.loss), rel=2e-2)
    assert float(rough.loss) != float(exact.loss)
    assert {p.dtype for p in engine.model.parameters()} == {torch.float32}


def test_norms_and_biases_are_not_decayed(make_model: MakeModel) -> None:
    model = make_model("gpt_bigcode")
    decayed, spared = build_optimizer(model, CONFIG).param_groups
    assert decayed["weight_decay"] == CONFIG.weight_decay
    assert spared["weight_decay"] == 0.0
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert all(parameter.ndim < 2 for parameter in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_the_optimiser_state_survives_saving_bit_for_bit(
    make_model: MakeModel, tmp_path: Path
) -> None:
    engine = _engine(make_model)
    engine.train_step([collate([_example(0)])], 11.0, 1e-2)
    engine.save(tmp_path)
    other = _engine(make_model)
    other.model.load_state_dict(engine.model.state_dict())
    other.load(tmp_path)
    for one in (engine, other):
        one.train_step([collate([_example(1)])], 11.0, 1e-2)
    assert torch.equal(_flat(engine), _flat(other))


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_missing_or_damaged_optimiser_file_is_named(
    make_model: MakeModel, tmp_path: Path, content: bytes | None
) -> None:
    engine = _engine(make_model)
    engine.save(tmp_path)
    (tmp_path / "optimizer.pt").unlink()
    if content is not None:
        (tmp_path / "optimizer.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"optimizer\.pt"):
        engine.load(tmp_path)
