"""A run that is asked to stop writes a checkpoint, says so, and goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from ochat_train import StoppedError, TrainConfig, train
from ochat_train.checkpoint import prune_checkpoints
from ochat_train.metrics import best_step
from ochat_train.stopping import StopRequest


def checkpoints(output: Path) -> list[int]:
    names = [folder.name for folder in (output / "checkpoints").iterdir()]
    assert all(name.startswith("step-") for name in names)
    return sorted(int(name.removeprefix("step-")) for name in names)


def test_a_time_limit_stops_and_resuming_ends_like_an_uninterrupted_run(
    config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(config, epochs=4)
    whole = train(replace(config, output=tmp_path / "whole"))
    reasons: list[str] = []
    stopped_early = True
    while True:
        try:
            result = train(replace(config, resume=True, time_limit_minutes=0.05 / 60))
            break
        except StoppedError as stop:
            reasons.append(str(stop))
            stopped_early &= not (config.output / "model").exists()
    assert len(reasons) >= 2
    assert all("the time limit" in reason for reason in reasons)
    assert stopped_early
    assert result.steps == whole.steps
    ours, theirs = (load_file(each.model / "model.safetensors") for each in (result, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_sigterm_writes_a_checkpoint_and_exits_with_its_own_code(config: TrainConfig) -> None:
    command = [sys.executable, "-m", "ochat_train", "run", "--from-scratch", "--threads", "1"]
    folders = {"--model": config.model, "--data": config.data, "--output": config.output}
    for flag, folder in folders.items():
        command += [flag, str(folder)]
    process = subprocess.Popen(
        [*command, "--epochs", "2000", "--batch-tokens", "512"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not (config.output / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "stopped by SIGTERM after step" in errors
    assert "Traceback" not in errors
    assert checkpoints(config.output)


def test_the_newest_and_the_best_checkpoints_are_kept(config: TrainConfig) -> None:
    train(replace(config, epochs=4, checkpoint_steps=3, keep_last=2))
    kept = checkpoints(config.output)
    best = best_step(config.output / "metrics.jsonl")
    assert best in kept
    assert len(kept) == (2 if best in kept[-2:] else 3)


def test_a_best_checkpoint_outlives_newer_ones(tmp_path: Path) -> None:
    for step in (3, 20, 100, 1000):
        (tmp_path / f"step-{step:08d}").mkdir()
    (tmp_path / "notes").mkdir()
    prune_checkpoints(tmp_path, keep_last=1, best_step=20)
    left = sorted(folder.name for folder in tmp_path.iterdir())
    assert left == ["notes", "step-00000020", "step-00001000"]
    prune_checkpoints(tmp_path, keep_last=5, best_step=None)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == left


def test_signals_mean_what_they_meant_when_nobody_listens_any_more() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening() as stop:
        assert not stop.reason
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before
