"""Where DeepSpeed's compiled extensions lie: apart for every version, without locks of the dead.

PyTorch guards a build with a file `lock` that a killed build leaves behind, and everyone after it
waits for ever. Here every process that may build holds the folder's own lock, which the system lets
go of when it dies: who gets it alone knows that none of these builds, and removes what is left,
unless a process on this machine has it open: plain DeepSpeed may build in a folder that the
environment names, and PyTorch keeps its lock open as long as it builds.
"""

from __future__ import annotations

import fcntl
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

_VARIABLE = "TORCH_EXTENSIONS_DIR"
# Held until the process ends.
_held: list[IO[str]] = []


def default_folder() -> Path:
    """A folder of these versions of Python, PyTorch and DeepSpeed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    name = f"torch{version('torch')}-deepspeed{version('deepspeed')}-{python}"
    return cache / "ochat-train" / "extensions" / name


def claim_extensions() -> list[Path]:
    """Sets the folder unless the environment does, and removes locks that nobody holds.

    Returns:
        The locks that were removed.
    """
    folder = Path(os.environ.setdefault(_VARIABLE, str(default_folder())))
    folder.mkdir(parents=True, exist_ok=True)
    stream = (folder / ".in-use").open("a", encoding="utf-8")
    _held.append(stream)
    removed: list[Path] = []
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # others live, and a lock may be theirs
    else:
        for lock in folder.glob("*/lock"):
            if not _is_open(lock):
                lock.unlink(missing_ok=True)
                removed.append(lock)
    fcntl.flock(stream, fcntl.LOCK_SH)
    return removed


def _is_open(file: Path) -> bool:
    """Whether a process on this machine has a file open; True where processes cannot be seen."""
    processes = Path("/proc")
    if not (processes / "self" / "fd").is_dir():
        return True
    found = file.stat()
    for process in processes.glob("[0-9]*/fd"):
        try:
            for descriptor in process.iterdir():
                opened = descriptor.stat()
                if (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino):
                    return True
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return False
