from __future__ import annotations

import os
from pathlib import Path

import pytest

from ochat_data import OutputError
from ochat_data.outputs import WholeFile


def test_a_file_appears_only_when_its_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.txt"
    with WholeFile(path) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert [entry.name for entry in path.parent.iterdir()] == ["out.txt"]


def test_a_block_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes(b"older")
    file = WholeFile(path)
    file.write(b"half")
    file.__exit__(RuntimeError, RuntimeError("stop"), None)
    assert path.read_bytes() == b"older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.txt"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with WholeFile(path) as file:
        file.write(b"all")
    assert os.read(reader, 10) == b"all"
    os.close(reader)
    assert path.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.symlink_to("/dev/full")  # through a link, so that a bug here cannot replace the device
    with pytest.raises(OutputError, match="No space left"), WholeFile(path) as file:
        file.write(b"x" * 100_000)
    with pytest.raises(OutputError, match="No space left"), WholeFile(path) as file:
        file.write(b"x")
