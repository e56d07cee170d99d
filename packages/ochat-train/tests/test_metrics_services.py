"""TensorBoard and Weights & Biases get the figures that the metrics file gets."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ochat_train import ConfigError, TrainConfig, train
from ochat_train.metrics_services import open_services


def events(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own protocol buffers
def test_tensorboard_reads_what_the_metrics_say(config: TrainConfig) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(replace(config, tensorboard=True))
    read = EventAccumulator(str(config.output / "tensorboard"))
    read.Reload()
    steps = [event for event in events(config.output) if event["event"] == "train"]
    told = read.Scalars("train/loss")
    assert [each.step for each in told] == [event["step"] for event in steps]
    assert [each.value for each in told] == pytest.approx([e["loss"] for e in steps], rel=1e-6)
    held_out = [event for event in events(config.output) if event["event"] == "eval"][-1]
    condition = read.Scalars("eval/GPT4/loss")[-1].value
    assert condition == pytest.approx(held_out["conditions"]["GPT4"]["loss"], rel=1e-6)


@pytest.mark.filterwarnings("ignore")  # of the service's own
def test_weights_and_biases_logs_a_run_offline(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(replace(config, wandb="toys"))
    assert list(config.output.glob("wandb/offline-run-*/run-*.wandb"))


@pytest.mark.parametrize(
    ("options", "module", "extra"),
    [
        ({"tensorboard": True}, "tensorboard", r"ochat-train\[tensorboard\]"),
        ({"wandb": "toys"}, "wandb", r"ochat-train\[wandb\]"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    module: str,
    extra: str,
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=extra):
        open_services(replace(config, **options), {})
