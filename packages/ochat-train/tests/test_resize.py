"""A run goes on with another number of ranks, ZeRO stage or engine, its optimiser's state kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = [
    pytest.mark.deepspeed,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "ninja")),
        reason="DeepSpeed compiles an extension: needs g++ and ninja",
    ),
]
STOPPED = 4


def _train(
    environment: dict[str, str], ranks: int, run: list[str], *, ok: bool = True
) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m"]
    if ranks > 1:
        launcher += ["torch.distributed.run", "--nproc-per-node", str(ranks), "--rdzv-backend"]
        launcher += ["c10d", "--rdzv-endpoint", "localhost:0", "-m"]
    done = subprocess.run(
        [*launcher, "ochat_train", *run],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def _arguments(base_model: Path, dataset: Path, output: Path) -> list[str]:
    folders = ["--model", str(base_model), "--data", str(dataset), "--output", str(output)]
    options = ["--from-scratch", "--precision", "fp32", "--lr", "1e-3", "--epochs", "1"]
    options += ["--batch-tokens", "256", "--threads", "1", "--checkpoint-steps", str(STOPPED)]
    return ["run", *folders, *options]


def _stop(whole: Path, output: Path) -> None:
    """What a run that was killed after step `STOPPED` left."""
    name = f"checkpoints/step-{STOPPED:08d}"
    shutil.copytree(whole / name, output / name)
    shutil.copy(whole / "metrics.jsonl", output)


def _same_weights(one: Path, other: Path) -> None:
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).norm() <= 1e-6 * tensor.norm(), name


def _events(output: Path) -> list[dict[str, float]]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [event for line in lines if "step" in (event := json.loads(line))]


ROUTES = [
    (2, "2", 1, None),
    (1, None, 2, "2"),
    (2, "3", 1, "2"),
    (2, "1", 2, "3"),
    (2, "0", 1, "3"),
]


@pytest.mark.parametrize(
    ("ranks", "stage", "later_ranks", "later_stage"),
    [ROUTES[0], *(pytest.param(*route, marks=pytest.mark.slow) for route in ROUTES[1:])],
)
def test_another_engine_goes_on_as_if_nothing_had_happened(
    base_model: Path,
    dataset: Path,
    environment: dict[str, str],
    tmp_path: Path,
    ranks: int,
    stage: str | None,
    later_ranks: int,
    later_stage: str | None,
) -> None:
    """Two batches a step throughout; a lost moment or master weight changes every later step."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    zero = [] if stage is None else ["--zero-stage", stage]
    share = ["--accumulation", "2"] if ranks == 1 else []
    _train(environment, ranks, [*_arguments(base_model, dataset, whole), *zero, *share])
    _stop(whole, stopped)
    zero = [] if later_stage is None else ["--zero-stage", later_stage]
    run = [*_arguments(base_model, dataset, stopped), *zero, "--resume"]
    done = _train(environment, later_ranks, run)
    assert (f"{ranks} rank(s) wrote the checkpoint" in done.stderr) == (ranks != later_ranks)
    _same_weights(stopped, whole)
    ours, theirs = _events(stopped), _events(whole)
    assert [event["step"] for event in ours] == [event["step"] for event in theirs]
    assert [e["loss"] for e in ours] == pytest.approx([e["loss"] for e in theirs], rel=1e-6)


@pytest.mark.slow
def test_more_ranks_than_batches_train_what_is_left_of_the_epoch(
    base_model: Path, dataset: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    _train(environment, 1, _arguments(base_model, dataset, whole))
    _stop(whole, grown)
    run = [*_arguments(base_model, dataset, grown), "--resume", "--zero-stage", "2"]
    done = _train(environment, 2, run)
    assert "planned anew in steps of 2 batches instead of 1" in done.stderr
    ours, theirs = _events(grown), _events(whole)
    assert len(ours) < len(theirs)
    assert sum(e["tokens"] for e in ours if "lr" in e) == sum(
        e["tokens"] for e in theirs if "lr" in e
    )
    rates = [event["lr"] for event in ours if "lr" in event]
    assert rates[STOPPED:] == sorted(rates[STOPPED:], reverse=True)
    # And back to one process, from a checkpoint of the second section.
    last = max((grown / "checkpoints").iterdir())
    shutil.rmtree(last)
    shutil.rmtree(grown / "model")
    _train(environment, 1, [*_arguments(base_model, dataset, grown), "--resume"])
    assert _events(grown)[-1]["step"] == ours[-1]["step"]
