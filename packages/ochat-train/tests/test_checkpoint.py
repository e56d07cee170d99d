from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from ochat_train import CheckpointError, OutputError, TrainConfig, probe_isolation
from ochat_train.__main__ import main
from ochat_train.checkpoint import (
    RunState,
    latest_checkpoint,
    read_state,
    restore_random_state,
    save_checkpoint,
)
from ochat_train.engine import SingleProcessEngine

MakeModel = Callable[..., PreTrainedModel]


def _state(step: int = 5) -> RunState:
    return RunState(step=step, tokens=99, dataset="d", world_size=1, settings={"lr": 0.1})


@pytest.fixture
def engine(make_model: MakeModel) -> SingleProcessEngine:
    model = make_model("llama")
    probe_isolation(model)
    config = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32")
    return SingleProcessEngine(model, config)


def _write_model(folder: Path) -> None:
    (folder / "weights").write_text("w")


def test_a_checkpoint_reads_back(engine: SingleProcessEngine, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, _state(), engine, _write_model)
    assert read_state(folder) == _state()
    assert (folder / "model" / "weights").read_text() == "w"
    assert [child.name for child in tmp_path.iterdir()] == ["step-00000005"]


def test_a_checkpoint_that_fails_leaves_no_folder_that_looks_like_one(
    engine: SingleProcessEngine, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, _state(5), engine, _write_model)

    def full_disk(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, _state(10), engine, full_disk)
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.name == "step-00000005"
    # What the failed attempt left behind does not disturb the next one.
    save_checkpoint(tmp_path, _state(10), engine, _write_model)
    again = latest_checkpoint(tmp_path)
    assert again is not None
    assert read_state(again).step == 10


def test_the_latest_checkpoint_is_the_one_with_the_highest_step(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "missing") is None
    for name in ("step-00000009", "step-00000010", ".step-00000011.partial", "notes"):
        (tmp_path / name).mkdir()
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.name == "step-00000010"


def _run_on_a_small_disk(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command where no file may grow over 100 kB: a toy tokenizer fits, weights do not."""
    code = (
        "import resource, sys; from ochat_train.__main__ import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    # What measures which lines run writes files too.
    unmeasured = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=unmeasured)


def test_a_full_disk_is_one_sentence_and_leaves_no_partial_folder(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    """The optimiser's file is refused to torch, the weights of an export to safetensors."""
    run = ["run", "--model", base_model, "--data", dataset, "--from-scratch", "--quiet"]
    run += ["--batch-tokens", "512", "--epochs", "1", "--output"]
    done = _run_on_a_small_disk(*run, tmp_path / "full")
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "step-0" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "full" / "checkpoints").iterdir()) == []

    assert main([str(word) for word in (*run, tmp_path / "run")]) == 0
    checkpoint = latest_checkpoint(tmp_path / "run" / "checkpoints")
    done = _run_on_a_small_disk("export", checkpoint, "--output", tmp_path / "exported" / "model")
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "exported").iterdir()) == []


def test_an_optimiser_file_that_torch_cannot_write_leaves_earlier_checkpoints(
    engine: SingleProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save_checkpoint(tmp_path, _state(5), engine, _write_model)

    def refuse(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(OutputError, match="file write failed"):
        save_checkpoint(tmp_path, _state(10), engine, _write_model)
    assert list(tmp_path.iterdir()) == [first]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_state_is_refused_with_the_way_out(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    with pytest.raises(CheckpointError):
        read_state(tmp_path)


@pytest.mark.parametrize("content", [None, b"junk"])
def test_a_damaged_random_state_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "random-0.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"random-0\.pt"):
        restore_random_state(tmp_path, 0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"dataset": "e"}, "another dataset"),
        ({"settings": {"lr": 0.2}}, r"lr = 0\.1, now it is 0\.2"),
        ({"settings": {}}, r"lr = 0\.1, now it is None"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(other: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"dataset": "d", "world_size": 1, "settings": {"lr": 0.1}}
    with pytest.raises(CheckpointError, match=message):
        _state().require_same_run(RunState(step=0, tokens=0, **{**fields, **other}))


def test_another_number_of_ranks_or_engine_may_continue() -> None:
    fields: dict[str, Any] = {"step": 5, "tokens": 99, "dataset": "d"}
    settings = {"lr": 0.1, "engine": "single", "zero_stage": None, "accumulation": 1}
    ours = RunState(**fields, world_size=1, settings=settings)
    other = {**settings, "engine": "deepspeed", "zero_stage": 3, "accumulation": 2}
    ours.require_same_run(RunState(**fields, world_size=2, settings=other))
    with pytest.raises(CheckpointError, match="accumulation = 1, now it is 2"):
        ours.require_same_run(RunState(**fields, world_size=1, settings=other))
