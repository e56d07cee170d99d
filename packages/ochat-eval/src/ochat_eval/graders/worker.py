"""One process that does algebra for the grader: asked over pipes, ended when it does not come back.

The process's own side is `math_worker`; which comparisons need algebra is decided in `equivalence`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

# Importing SymPy and math-verify takes about a second, ten on a machine with other work.
_START_SECONDS = 120.0
# Over the CPU deadline, which the worker keeps itself, unless one call never returns to Python.
_GRACE = 6.0
_FAREWELL_SECONDS = 2.0


class MathWorker:
    """Answers one comparison at a time; not for several threads at once."""

    def __init__(self, *, cpu_seconds: float) -> None:
        """Prepare; the process starts with the first question."""
        self._cpu_seconds = cpu_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: str, *expressions: str) -> bool | None:
        """The answer to "equal" or "zero"; None where it could not be shown in time."""
        process = self._process if self._process and self._process.poll() is None else self._start()
        assert process.stdin is not None  # noqa: S101 - asked for by PIPE
        try:
            process.stdin.write(json.dumps([question, *expressions]).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(self._line(process, self._cpu_seconds * _GRACE))
        except (OSError, TimeoutError, ValueError):
            self._kill()
            return None
        return answer if isinstance(answer, bool) else None

    def close(self) -> None:
        """End the process, which has no question to answer: it goes when its input ends."""
        if self._process and self._process.stdin:
            with suppress(OSError, subprocess.TimeoutExpired):  # it is killed in any case
                self._process.stdin.close()
                self._process.wait(_FAREWELL_SECONDS)
        self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self._kill()
        program = str(Path(__file__).with_name("math_worker.py"))
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, program, str(self._cpu_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt at the keyboard is for us, not for it
        )
        try:
            self._line(self._process, _START_SECONDS)
        except TimeoutError:
            self._kill()
            raise
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """One line of the process's output.

        Raises:
            TimeoutError: It did not come in time, or the process ended.
        """
        assert process.stdout is not None  # noqa: S101 - asked for by PIPE
        descriptor, deadline, line = process.stdout.fileno(), time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError("the worker did not answer in time")
            piece = os.read(descriptor, 4096)
            if not piece:
                raise TimeoutError("the worker ended")
            line += piece
        return line
