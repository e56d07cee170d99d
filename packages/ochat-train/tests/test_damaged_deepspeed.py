"""Damage and a full disk under two ranks of DeepSpeed: what the next command does about them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ochat_data import Record, TokenizeOptions, write_token_dataset
from ochat_templates import load_codec

pytestmark = [
    pytest.mark.deepspeed,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "ninja")),
        reason="DeepSpeed compiles an extension: needs g++ and ninja",
    ),
]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
LAUNCHER += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "ochat_train"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(base_model: Path, environment: dict[str, str]) -> Run:
    """`run(dataset, output, "--resume")`: a run of two ranks in ZeRO stage 2."""

    def start(dataset: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
        folders = ["--model", str(base_model), "--data", str(dataset), "--output", str(output)]
        options = ["--from-scratch", "--precision", "fp32", "--lr", "1e-2", "--epochs", "2"]
        options += ["--batch-tokens", "256", "--threads", "1", "--checkpoint-steps", "3"]
        return subprocess.run(
            [*LAUNCHER, "run", *folders, *options, "--zero-stage", "2", *more],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return start


@pytest.fixture(scope="module")
def whole(run: Run, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    done = run(dataset, output)
    assert done.returncode == 0, done.stderr[-3000:]
    return output


def _assert_same(run: Path, whole: Path) -> None:
    ours, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    losses = [
        [json.loads(line)["loss"] for line in (each / "metrics.jsonl").read_text().splitlines()]
        for each in (run, whole)
    ]
    assert losses[0] == losses[1]


def test_a_damaged_shard_costs_the_steps_since_the_checkpoint_before(
    run: Run, whole: Path, dataset: Path, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "model")
    last = max((stopped / "checkpoints").iterdir())
    (shard,) = last.glob("deepspeed/*zero_pp_rank_1_*optim_states.pt")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = run(dataset, stopped, "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"checkpoint {last.name} is damaged and passed over: {shard}" in done.stderr
    _assert_same(stopped, whole)


def test_another_dataset_and_ranks_that_do_not_fit_are_refused_before_anything_is_written(
    run: Run,
    whole: Path,
    base_model: Path,
    dataset: Path,
    records: Callable[[], list[Record]],
    tmp_path: Path,
) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "model")
    options = TokenizeOptions(max_length=200, eval_fraction=0.2)
    codec = load_codec(base_model, "openchat_v3.2")
    write_token_dataset(tmp_path / "other", records()[:-1], codec, options)
    before = sorted((stopped / "checkpoints").rglob("*"))
    done = run(tmp_path / "other", stopped, "--resume")
    assert done.returncode != 0
    assert "another dataset; resume with the same one" in done.stderr
    done = run(dataset, stopped, "--resume", "--sequence-parallel", "3")
    assert done.returncode != 0
    assert "needs a multiple of as many ranks, here are 2" in done.stderr
    assert sorted((stopped / "checkpoints").rglob("*")) == before
    assert (stopped / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 2 MiB: a few checkpoints of the toy model."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    command = [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_runs_full_leaves_the_checkpoints_before(
    run: Run, whole: Path, dataset: Path, small_disk: Path
) -> None:
    output = small_disk / "run"
    done = run(dataset, output)
    assert done.returncode != 0
    assert "cannot write" in done.stderr, done.stderr[-3000:]
    assert "look at the disk's free space" in done.stderr
    names = [folder.name for folder in (output / "checkpoints").iterdir()]
    assert names
    assert all(name.startswith("step-") for name in names)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done = run(dataset, output, "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "damaged" not in done.stderr
    _assert_same(output, whole)
