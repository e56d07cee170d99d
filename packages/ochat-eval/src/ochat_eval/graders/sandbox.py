"""Runs a program that a model wrote against its tests, in a process of its own with limits.

Limits of CPU time, memory, processes and file size, an empty folder, no input, no network where the
machine allows a network namespace, and a random word that only a passed test prints. This keeps
accidents and simple cheats out; IT IS NO SECURITY BOUNDARY: a program made to break out may do so.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CPU_SECONDS = 10
_WALL_SECONDS = 60.0
_MEMORY_MIB = 1024
_OUTPUT_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Whether the tests passed, and a word that says why not, such as `AssertionError`."""

    passed: bool
    reason: str


def run_tests(program: str, tests: str, entry_point: str) -> Outcome:
    """Run `check(entry_point)` of the tests on a program.

    Args:
        program: Source that defines the entry point.
        tests: Source that defines `check(candidate)`.
        entry_point: The name of the function under test.
    """
    word = secrets.token_hex(16)
    task = json.dumps([word, program, tests, entry_point, _CPU_SECONDS, _MEMORY_MIB]).encode()
    driver = str(Path(__file__).with_name("sandbox_driver.py"))
    with tempfile.TemporaryDirectory(prefix="ochat-eval-") as folder:
        process = subprocess.Popen(  # noqa: S603 - the point of this module
            [*_without_network(), sys.executable, "-I", "-S", driver],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(task, timeout=_WALL_SECONDS)
        except subprocess.TimeoutExpired:
            return Outcome(passed=False, reason="timeout")
        finally:
            _end_session(process)
    lines = output[:_OUTPUT_BYTES].decode(errors="replace").splitlines()
    if lines[-1:] == [word]:
        return Outcome(passed=True, reason="passed")
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL, 128 + signal.SIGXCPU, 137, 152):
        return Outcome(passed=False, reason="timeout")
    told = lines[-1] if lines and lines[-1].isidentifier() else "ended-early"
    return Outcome(passed=False, reason=told)


@cache
def has_network_isolation() -> bool:
    """Whether this machine lets an ordinary user run a program without any network."""
    return bool(_without_network())


@cache
def _without_network() -> tuple[str, ...]:
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--user", "--map-root-user", "--net", "--")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)  # noqa: S603
    return command if tried.returncode == 0 else ()


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started; its session is its own, so no other is touched."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # the whole session is gone already, which is what is wanted
    finally:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
