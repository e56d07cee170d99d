"""The fixed server and a measured client command, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("fixed_server.py")
LETTERS = ["A", "B", "C", "D"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one client process took, in seconds; `first_request` from its start."""

    cpu: float
    wall: float
    first_request: float
    tokens: int


@contextmanager
def fixed_server(*arguments: str) -> Iterator[str]:
    """The address of a running server."""
    command = [sys.executable, str(SERVER), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own file
    try:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.terminate()
        process.wait()


def measured(command: Sequence[str], url: str, **environment: str) -> Measured:
    """Run a client to its end; CPU time is that of the process and its children."""
    told(url)
    started, wall = time.time(), time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - the commands of a benchmark
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    seen = told(url)
    return Measured(
        cpu=usage.ru_utime + usage.ru_stime,
        wall=time.monotonic() - wall,
        first_request=(seen["first"] or started) - started,
        tokens=seen["tokens"],
    )


def told(url: str) -> dict[str, Any]:
    """What the server saw since it was last asked."""
    with urllib.request.urlopen(f"{url}/told", timeout=30) as answer:  # noqa: S310 - our own
        return json.loads(answer.read())


def write_suite(path: Path, count: int, *, characters: int = 600, groups: int = 8) -> Path:
    """So many multiple-choice questions, each group with a beginning of its own."""
    rows: list[dict[str, object]] = []
    for number in range(count):
        group = number * groups // count
        shared = f"Examples of group {group}. " * (characters // 22)
        rows.append(
            {
                "id": f"q{number}",
                "group": f"group{group}",
                "family": "choice",
                "question": f"{shared}\nQ: number {number}?\n(A) one (B) two (C) three (D) four",
                "label": LETTERS[number % 4],
                "options": LETTERS,
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
