"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from .errors import OutputError, first_line

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


# What the libraries raise when the disk refuses: torch.save turns it into a RuntimeError.
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)


def cannot_write(place: Path, error: Exception) -> OutputError:
    """The error to raise for one of `WRITE_ERRORS`."""
    return OutputError(
        f"cannot write {place} ({first_line(error)}); look at the disk's free space and rights"
    )


def partial_folder(folder: Path) -> Path:
    """Where `folder` is written before it gets its name."""
    return folder.with_name(f".{folder.name}.partial")


@contextmanager
def whole_folder(folder: Path) -> Generator[Path]:
    """Yields an empty folder beside `folder` that takes its name when the block succeeds.

    An existing `folder` is replaced. When the block fails, what it wrote is removed.

    Raises:
        OutputError: the disk refuses.
    """
    beside = partial_folder(folder)
    try:
        start_partial(folder)
        yield beside
        finish_partial(folder)
    except WRITE_ERRORS as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def start_partial(folder: Path) -> Path:
    """Makes an empty partial folder for `folder`, removing a leftover one."""
    beside = partial_folder(folder)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    return beside


def finish_partial(folder: Path) -> None:
    """Gives the partial folder its name, replacing what is there."""
    beside = partial_folder(folder)
    # safetensors 0.8 lets nobody but the writer read its files; a server is often another user. A
    # folder has the rights that the process gives by itself.
    for file in beside.rglob("*.safetensors"):
        file.chmod(file.parent.stat().st_mode & 0o666)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    beside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def refuse_occupied(folder: Path, remedy: str = "name another folder") -> None:
    """Refuses a file, or a folder that holds something.

    Raises:
        OutputError: with the remedy.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--output {folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"--output {folder} is not empty; {remedy}")
