"""A run of two ranks is killed without warning again and again, and loses nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = [
    pytest.mark.deepspeed,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "ninja")),
        reason="DeepSpeed compiles an extension: needs g++ and ninja",
    ),
]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
LAUNCHER += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "ochat_train"]


def _command(base_model: Path, dataset: Path, output: Path, *more: str) -> list[str]:
    folders = ["--model", str(base_model), "--data", str(dataset), "--output", str(output)]
    options = ["--from-scratch", "--precision", "fp32", "--lr", "1e-2", "--epochs", "3"]
    options += ["--batch-tokens", "256", "--threads", "1", "--checkpoint-steps", "3"]
    return [*LAUNCHER, "run", *folders, *options, "--zero-stage", "2", "--quiet", *more]


def _killed(command: list[str], environment: dict[str, str], moment: Callable[[], bool]) -> bool:
    """Starts the command and kills its launcher and ranks at a moment; whether it came."""
    log = subprocess.DEVNULL
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 200
        while process.poll() is None and not moment():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        came = process.poll() is None
    finally:
        _kill_session(process.pid)
        process.wait()
    return came


def _kill_session(session: int) -> None:
    """Kills every process of a session: the ranks have process groups of their own."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, IndexError):
            continue  # it ended meanwhile


def _finished(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def _steps(output: Path) -> int:
    try:
        return (output / "metrics.jsonl").read_text().count('"train"')
    except OSError:
        return 0


def _during_a_save(output: Path) -> bool:
    return any((output / "checkpoints").glob(".step-*.partial"))


def _assert_same(killed: Path, whole: Path) -> None:
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (killed, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    losses: list[list[float]] = []
    for run in (killed, whole):
        events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        losses.append([event["loss"] for event in events if event["event"] == "train"])
    assert losses[0] == losses[1]
    assert not list((killed / "checkpoints").glob(".*"))


def test_a_run_that_was_killed_in_a_save_ends_as_if_it_had_not(
    base_model: Path, dataset: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _finished(_command(base_model, dataset, whole), environment)
    command = _command(base_model, dataset, killed)
    assert _killed(command, environment, lambda: _steps(killed) >= 6 and _during_a_save(killed))
    _finished([*command, "--resume"], environment)
    _assert_same(killed, whole)


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(
    base_model: Path, dataset: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Before the first checkpoint, at random steps, in saves, and just after an epoch's end."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _finished(_command(base_model, dataset, whole), environment)
    events = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    ends = [event["step"] for event in events if event["event"] == "eval"]
    total = _steps(whole)
    draw = random.Random()  # noqa: S311 - new moments every time
    seed = draw.randrange(1 << 30)
    draw.seed(seed)
    at = sorted([*draw.sample(range(1, total), 6), *ends[:2]])
    # The two with True are in saves.
    moments = [(step, draw.random() * 0.05, False) for step in at]
    moments[2:2] = [(at[1], 0.0, True)]
    moments[6:6] = [(at[4], 0.0, True)]
    command = _command(base_model, dataset, killed)
    for number, (step, wait, saving) in enumerate(moments):
        again = ["--resume"] if number else list[str]()

        def moment(step: int = step, wait: float = wait, *, saving: bool = saving) -> bool:
            if _steps(killed) < step or (saving and not _during_a_save(killed)):
                return False
            time.sleep(wait)
            return True

        # A moment may lie in steps that the checkpoint already holds: it comes at once then.
        assert _killed([*command, *again], environment, moment), (seed, number)
    _finished([*command, "--resume"], environment)
    _assert_same(killed, whole)
