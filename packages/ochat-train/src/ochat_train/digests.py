"""Digests of a checkpoint's files, so that a damaged one is found before it is loaded.

Truncation makes a loader fail; a flipped byte in a tensor does not, and would be trained on.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "digests-{rank}.json"
# Hashing lets other threads run, and a disk serves several readers better than one.
_THREADS = 8


def write_digests(folder: Path, rank: int, world_size: int) -> None:
    """Digests this rank's share of the files and sees them onto the disk.

    Every rank calls it once all files are written; together they cover every file once.
    """
    files = [file for file in _files(folder) if not file.name.startswith("digests-")]
    mine = files[rank::world_size]
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(_digest_and_sync, mine)
        found = {
            str(f.relative_to(folder)): digest for f, digest in zip(mine, digests, strict=True)
        }
    (folder / _FILE.format(rank=rank)).write_text(json.dumps(found) + "\n", encoding="utf-8")


def verify_digests(folder: Path, world_size: int) -> None:
    """Compares every file of a checkpoint with its digest.

    Raises:
        CheckpointError: names the file that is missing or differs.
    """
    expected: dict[str, str] = {}
    for rank in range(world_size):
        file = folder / _FILE.format(rank=rank)
        try:
            expected.update(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{file} is missing or damaged ({error})") from error
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(_digest_or_none, [folder / name for name in expected])
        for (name, digest), now in zip(expected.items(), digests, strict=True):
            if now != digest:
                what = "is missing" if now is None else "has changed since it was written"
                raise CheckpointError(f"{folder / name} {what}")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, hashlib.blake2b).hexdigest()


def _digest_and_sync(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return _digest(file)


def _digest_or_none(file: Path) -> str | None:
    try:
        return _digest(file)
    except OSError:
        return None
