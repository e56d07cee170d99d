"""Ends the engine's processes when this process dies without being able to.

A process that is killed cleans nothing up, and vLLM's processes would keep the GPU's memory. So a
small child waits at a pipe that closes with this process. What it kills is named by process id and
start time: a number that was given to another program in the meantime is left alone.

As a script (`python guard.py`) this module is that child; it imports nothing but the standard
library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

_RELEASE = "release"
_PROC = Path("/proc")


def _stat(pid: int) -> tuple[int, str] | None:
    """Parent and start time of a process; None if there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold anything; fields count from behind it.
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), fields[19]


def descendants(root: int) -> list[int]:
    """All processes below `root`; none where the system has no /proc."""
    if not _PROC.is_dir():
        return []
    parents = {
        int(entry.name): stat[0]
        for entry in _PROC.iterdir()
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None
    }
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sorted(below - {root})


class OrphanGuard:
    """The child that waits, for as long as this object is held open."""

    def __init__(self) -> None:
        """Guard what runs below this process now; without children nothing is started."""
        pids = descendants(os.getpid())
        self._child: subprocess.Popen[str] | None = None
        if not pids:
            return
        self._child = subprocess.Popen(  # noqa: S603 (this interpreter, this file)
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the server
        )
        named = [f"{pid} {stat[1]}" for pid in pids if (stat := _stat(pid)) is not None]
        self._write("\n".join(named))

    def release(self) -> None:
        """End the child without a kill: the engine was stopped in order."""
        if self._child is None:
            return
        self._write(_RELEASE)
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        self._child.wait()

    def _write(self, line: str) -> None:
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.write(line + "\n")
                self._child.stdin.flush()


def main() -> None:
    """Wait for the end of the pipe, then kill what is still what it was."""
    lines = sys.stdin.read().splitlines()
    if _RELEASE in lines:
        return
    for line in lines:
        pid, _, started = line.partition(" ")
        stat = _stat(int(pid))
        if stat is not None and stat[1] == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    main()
