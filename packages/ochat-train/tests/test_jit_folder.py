from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO

import pytest

from ochat_train import jit_folder
from ochat_train.jit_folder import claim_extensions, default_folder

CLAIM = (
    "import sys; from ochat_train.jit_folder import claim_extensions; print(claim_extensions());"
)


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A lock that a build which was killed had left."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    lock = tmp_path / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir()
    lock.touch()
    held: list[IO[str]] = []
    monkeypatch.setattr(jit_folder, "_held", held)
    yield lock
    for stream in held:
        stream.close()


def test_a_lock_of_the_dead_is_removed(lock: Path) -> None:
    assert claim_extensions() == [lock]
    assert not lock.exists()


def test_a_lock_of_the_living_stays(lock: Path) -> None:
    lock.unlink()
    code = CLAIM + "sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"[]\n"
        lock.touch()
        assert claim_extensions() == []
        assert lock.exists()
        other.kill()


def test_a_lock_of_a_build_that_knows_nothing_of_ours_stays(lock: Path) -> None:
    """Plain DeepSpeed's, in a folder that the environment names for both."""
    lock.unlink()
    build = "import sys; from torch.utils.file_baton import FileBaton\n"
    build += "print(FileBaton(sys.argv[1]).try_acquire(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", build, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        assert claim_extensions() == []
        assert lock.exists()
        other.kill()
    jit_folder._held.pop().close()
    assert claim_extensions() == [lock]


def test_the_folder_is_one_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    folder = default_folder()
    assert folder.parent == Path("/cache/ochat-train/extensions")
    assert folder.name.startswith("torch")
    assert f"py{sys.version_info.major}{sys.version_info.minor}" in folder.name
