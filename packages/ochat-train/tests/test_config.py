from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ochat_train import ConfigError, EngineError, TrainConfig, config
from ochat_train.engine_choice import choose_engine

CONFIG = TrainConfig(model=Path("m"), data=Path("d"), output=Path("o"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_tokens": -1}, "--batch-tokens is -1"),
        ({"lr": 0.0}, "--lr is 0"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"lr": float("inf")}, "--lr is inf"),
        ({"beta1": 1.0}, "--beta1 is 1.0"),
        ({"beta2": 1.0}, "--beta2 is 1.0"),
        ({"beta1": float("nan")}, "--beta1 is nan"),
        ({"eps": float("inf")}, "--eps is inf"),
        ({"weight_decay": float("nan")}, "--weight-decay is nan"),
        ({"weight_decay": float("inf")}, "--weight-decay is inf"),
        ({"max_grad_norm": float("inf")}, "--max-grad-norm is inf"),
        ({"lr_min_ratio": float("nan")}, "--lr-min-ratio is nan"),
        ({"lr_min_ratio": 1.5}, "--lr-min-ratio is 1.5"),
        ({"beta2": -0.1}, "--beta2 is -0.1"),
        ({"warmup_steps": -1}, "--warmup-steps is -1"),
        ({"seed": -1}, "--seed is -1"),
        ({"max_grad_norm": 0.0}, "--max-grad-norm is 0"),
        ({"threads": 0}, "--threads is 0"),
        ({"zero_stage": 4}, "give 0, 1, 2 or 3"),
        ({"engine": "single", "zero_stage": 2}, "drop --engine single"),
        ({"time_limit_minutes": float("nan")}, "--time-limit-minutes is nan"),
        ({"time_limit_minutes": -1.0}, "--time-limit-minutes is -1.0"),
        ({"seed": 1 << 63}, "give a whole number below"),
        ({"lora_rank": 8}, "--lora-rank is for adapters; give --lora or --qlora too"),
        ({"lora_targets": "q_proj"}, "--lora-targets is for adapters"),
        ({"merge": False}, "--no-merge is for adapters"),
        ({"sequence_parallel": 0}, "--sequence-parallel is 0"),
        ({"offload_activations": True}, "--gradient-checkpointing keeps; give both"),
        ({"packing": "tight"}, "--packing is 'tight'; choose random, throughput"),
        ({"loss_mode": "crlft"}, "needs the expert's condition"),
        ({"rope_factor": 2.0}, "--rope-factor needs --rope-scaling"),
        ({"rope_scaling": "yarn"}, "--rope-factor is 1.0; give a number above 1"),
    ],
)
def test_an_impossible_setting_is_named_with_its_value(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change).validate()


def test_ranks_that_do_not_fill_groups_are_refused() -> None:
    with pytest.raises(EngineError, match="--sequence-parallel 2 needs a multiple .* here are 1;"):
        choose_engine(replace(CONFIG, sequence_parallel=2))


def test_what_a_launcher_left_in_the_environment_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert choose_engine(CONFIG).name == "deepspeed"
    with pytest.raises(EngineError, match="2 processes were started but --engine single"):
        choose_engine(replace(CONFIG, engine="single"))
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="WORLD_SIZE is 'two', not a number"):
        choose_engine(CONFIG)


def test_the_defaults_are_valid_and_those_that_openchat_published() -> None:
    CONFIG.validate()
    assert (CONFIG.lr, CONFIG.beta1, CONFIG.beta2, CONFIG.eps) == (2e-5, 0.9, 0.95, 1e-5)
    assert (CONFIG.weight_decay, CONFIG.max_grad_norm, CONFIG.lr_min_ratio) == (0.1, 1.0, 0.1)


def test_what_is_for_adapters_has_the_defaults_of_the_settings() -> None:
    assert {name: getattr(CONFIG, name) for name in config._OF_ADAPTERS} == config._OF_ADAPTERS


def test_settings_are_json() -> None:
    assert json.loads(json.dumps(CONFIG.to_json()))["model"] == "m"


def test_a_resumed_run_may_move_its_folders_but_not_its_settings() -> None:
    moved = replace(CONFIG, model=Path("x"), data=Path("y"), output=Path("z"), resume=True)
    assert moved.fixed_part() == CONFIG.fixed_part()
    assert replace(CONFIG, seed=1).fixed_part() != CONFIG.fixed_part()
