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
        self._asked = self._tokens = 0
        self._start = self._shown = time.monotonic()
        self._terminal = stream.isatty()

    def count(self, status: Status) -> None:
        """Count a verdict on a response that was added before."""
        self._counts[status.value] += 1

    def add(self, status: Status | None, tokens: int | None = None) -> None:
        """Count one response, with its verdict where it has one, and show the line when due."""
        self._asked += 1
        self._tokens += tokens or 0
        if status is not None:
            self.count(status)
        now = time.monotonic()
        if now - self._shown >= (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            self._shown = now
            self._write(now)

    def finish(self) -> None:
        """Show the last state and end the line."""
        if self._asked:
            self._write(time.monotonic())
            if self._terminal:
                self._stream.write("\n")
            self._stream.flush()

    def line(self, seconds: float) -> str:
        """The line after so many seconds."""
        asked, tally = self._asked, Tally(**self._counts)
        done, rate = self._before + asked, asked / max(seconds, 1e-9)
        accuracy = "-" if tally.accuracy is None else f"{tally.accuracy:.1%}"
        problems = tally.unparsed + tally.truncated
        return (
            f"{done}/{self._total} | accuracy {accuracy} | unparsed or cut {problems} | "
            f"errors {tally.error} | {rate:.1f}/s, "
            f"{self._tokens / max(seconds, 1e-9):.0f} tokens/s | "
            f"{_duration((self._total - done) / rate)} left"
        )

    def _write(self, now: float) -> None:
        line = self.line(now - self._start)
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
