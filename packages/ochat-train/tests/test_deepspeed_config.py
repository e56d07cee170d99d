from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ochat_train import ConfigError, TrainConfig
from ochat_train.deepspeed_config import read_deepspeed_config


def _config(tmp_path: Path, settings: object = None, **options: Any) -> TrainConfig:
    path = None
    if settings is not None:
        path = tmp_path / "ds.json"
        path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return TrainConfig(
        model=Path("m"), data=Path("d"), output=Path("o"), deepspeed_config=path, **options
    )


def test_without_a_file_the_published_settings_are_used(tmp_path: Path) -> None:
    result = read_deepspeed_config(_config(tmp_path))
    assert result.precision == "bf16"
    assert result.settings["zero_optimization"] == {"stage": 2}
    assert result.settings["gradient_clipping"] == 1.0
    assert result.settings["bf16"] == {"enabled": True}


def test_the_file_is_kept_except_for_batch_sizes(tmp_path: Path) -> None:
    settings = {
        "train_batch_size": 64,
        "train_micro_batch_size_per_gpu": "auto",
        "zero_optimization": {"stage": 1, "overlap_comm": True},
        "gradient_clipping": 0.5,
        "bf16": {"enabled": False},
        "steps_per_print": 100,
    }
    result = read_deepspeed_config(_config(tmp_path, settings))
    assert result.precision == "fp32"
    assert "train_batch_size" not in result.settings
    assert result.settings["train_micro_batch_size_per_gpu"] == 1
    assert result.settings["zero_optimization"] == {"stage": 1, "overlap_comm": True}
    assert result.settings["gradient_clipping"] == 0.5
    assert result.settings["steps_per_print"] == 100


def test_options_win_over_the_file(tmp_path: Path) -> None:
    settings = {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}
    config = _config(tmp_path, settings, zero_stage=0, precision="fp32")
    result = read_deepspeed_config(config)
    assert result.precision == "fp32"
    assert result.settings["zero_optimization"] == {"stage": 0}
    assert result.settings["bf16"] == {"enabled": False}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{not json", "cannot read"),
        ([1], "must hold a JSON object"),
        ({"zero_optimization": 2}, "'zero_optimization' must be a JSON object"),
        ({"optimizer": {"type": "Adam"}}, "'optimizer'; remove it and use --lr"),
        ({"scheduler": {"type": "WarmupLR"}}, "'scheduler'; remove it"),
        ({"fp16": {"enabled": True}}, "--precision bf16"),
        ({"gradient_accumulation_steps": 4}, "give --accumulation 4"),
        ({"zero_optimization": {"stage": 4}}, "no ZeRO stage 4"),
        ({"activation_checkpointing": {"cpu_checkpointing": True}}, "and --offload-activations"),
        ({"checkpoint": {"writer": {"decoupled": True}}}, r"remove checkpoint\.writer: the ranks"),
        ({"datastates_ckpt": {"host_cache_size": 1}}, "remove datastates_ckpt: the ranks wait"),
        ({"sequence_parallel_size": 2}, "give --sequence-parallel 2"),
    ],
)
def test_a_file_that_contradicts_the_run_is_refused(
    tmp_path: Path, settings: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_deepspeed_config(_config(tmp_path, settings))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    config = TrainConfig(
        model=Path("m"), data=Path("d"), output=Path("o"), deepspeed_config=tmp_path / "gone.json"
    )
    with pytest.raises(ConfigError, match=r"gone\.json"):
        read_deepspeed_config(config)
