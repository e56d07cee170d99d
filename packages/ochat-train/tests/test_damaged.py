"""Damaged checkpoints, a full disk, another dataset: what a resumed run does about them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ochat_data import Record, TokenizeOptions, write_token_dataset
from ochat_templates import load_codec
from ochat_train import CheckpointError, OutputError, TrainConfig, train


def _damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    elif how == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes(content)
    if how == "missing":
        file.unlink()


def _same_models(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture
def stopped(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """A run with two checkpoints whose model is not written yet, beside the whole one."""
    config = replace(config, epochs=2, checkpoint_steps=None, output=tmp_path / "whole")
    train(config)
    shutil.copytree(config.output, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "model")
    return replace(config, output=tmp_path / "stopped", resume=True)


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing"])
@pytest.mark.parametrize("name", ["optimizer.pt", "model/model.safetensors", "random-0.pt"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    stopped: TrainConfig, capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    checkpoints = stopped.output / "checkpoints"
    last = max(checkpoints.iterdir())
    _damage(last / name, how)
    train(stopped)
    said = capsys.readouterr().err
    assert f"checkpoint {last.name} is damaged and passed over: {last / name}" in said
    assert _same_models(stopped.output, stopped.output.with_name("whole"))


def test_a_run_with_only_damaged_checkpoints_is_refused_and_left_as_it_is(
    stopped: TrainConfig,
) -> None:
    folders = sorted((stopped.output / "checkpoints").iterdir())
    for folder in folders:
        _damage(folder / "optimizer.pt", "flipped")
    with pytest.raises(CheckpointError, match=r"optimizer\.pt has changed.*another --output"):
        train(stopped)
    assert sorted((stopped.output / "checkpoints").iterdir()) == folders


def test_another_dataset_is_refused_and_the_checkpoints_stay(
    stopped: TrainConfig, records: Callable[[], list[Record]], tmp_path: Path
) -> None:
    codec = load_codec(stopped.model, "openchat_v3.2")
    other = tmp_path / "other"
    options = TokenizeOptions(max_length=200, eval_fraction=0.2)
    write_token_dataset(other, records()[:-1], codec, options)
    with pytest.raises(CheckpointError, match="another dataset; resume with the same one"):
        train(replace(stopped, data=other))
    train(stopped)
    assert _same_models(stopped.output, stopped.output.with_name("whole"))


def test_what_killed_saves_left_is_removed(stopped: TrainConfig) -> None:
    checkpoints = stopped.output / "checkpoints"
    for name in (".step-00000099.partial", ".step-00000001.old"):
        (checkpoints / name).mkdir()
        (checkpoints / name / "weights").write_text("half")
    train(stopped)
    assert not list(checkpoints.glob(".*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 1 MiB: two or three checkpoints of the toy model."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield place
    # Lazily: weights that were mapped into memory keep the disk busy.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_runs_full_leaves_the_checkpoints_before(
    config: TrainConfig, small_disk: Path, tmp_path: Path
) -> None:
    whole = replace(config, epochs=4, output=tmp_path / "whole")
    train(whole)
    full = replace(whole, output=small_disk / "run")
    with pytest.raises(OutputError, match=r"cannot write .*step-.*free space"):
        train(full)
    names = [folder.name for folder in (full.output / "checkpoints").iterdir()]
    assert names
    assert all(name.startswith("step-") for name in names)
    # With room again, the run goes on and loses nothing.
    subprocess.run(
        ["mount", "-o", "remount,size=64m", str(small_disk)],
        check=True,
    )
    train(replace(full, resume=True))
    assert _same_models(full.output, whole.output)
