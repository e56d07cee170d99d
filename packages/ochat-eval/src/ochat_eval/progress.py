"""One line about a run in progress: done and total, accuracy so far, rate, time left.

Writes to a stream and knows nothing else; the figures come from the runner.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TextIO

from ochat_eval.tally import Tally
from ochat_eval.verdict import Status

_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 10.0


class Progress:
    """Redraws one line on a terminal, writes one line every ten seconds anywhere else."""

    def __init__(self, stream: TextIO, *, total: int, done: int = 0) -> None:
        """Start counting; `done` questions were answered before and count neither way."""
        self._stream, self._total, self._before = stream, total, done
        self._counts: Counter[str] = Counter()
        self._start = self._shown = time.monotonic()
        self._terminal = stream.isatty()

    def add(self, status: Status) -> None:
        """Count one graded response and show the line when it is due."""
        self._counts[status.value] += 1
        now = time.monotonic()
        if now - self._shown >= (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            self._shown = now
            self._write(now)

    def finish(self) -> None:
        """Show the last state and end the line."""
        if self._counts:
            self._write(time.monotonic())
            if self._terminal:
                self._stream.write("\n")
            self._stream.flush()

    def line(self, seconds: float) -> str:
        """The line after so many seconds."""
        asked, tally = self._counts.total(), Tally(**self._counts)
        done, rate = self._before + asked, asked / max(seconds, 1e-9)
        accuracy = "-" if tally.accuracy is None else f"{tally.accuracy:.1%}"
        problems = tally.unparsed + tally.truncated
        return (
            f"{done}/{self._total} | accuracy {accuracy} | unparsed or cut {problems} | "
            f"errors {tally.error} | {rate:.1f}/s | {_duration((self._total - done) / rate)} left"
        )

    def _write(self, now: float) -> None:
        line = self.line(now - self._start)
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
