"""A line on standard error that says how far a long command is, how fast, and how long it has.

Written over in place on a terminal; elsewhere only the last state is written, once.
"""

from __future__ import annotations

import sys
import time

_REFRESH_SECONDS = 0.2


class Progress:
    """Counts what one command has done, and its tokens."""

    def __init__(self, label: str, *, total: int | None = None, unit: str = "records") -> None:
        """Starts the clock; with a total it also tells the share and the time left."""
        self._label = label
        self._total = total
        self._unit = unit
        self._begun_at = 0
        self._started = time.monotonic()
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def start_at(self, done: int) -> None:
        """What an earlier run had done, which says nothing of this one's speed."""
        self._begun_at = done

    def update(self, done: int, tokens: int = 0) -> None:
        """Shows the totals so far, at most five times a second."""
        now = time.monotonic()
        if self._live and now - self._shown >= _REFRESH_SECONDS:
            self._shown = now
            sys.stderr.write(f"\r{self._line(done, tokens)}\x1b[K")
            sys.stderr.flush()

    def finish(self, done: int, tokens: int = 0) -> None:
        """Leaves the final totals on a line of their own."""
        start = "\r" if self._live else ""
        end = "\x1b[K\n" if self._live else "\n"
        sys.stderr.write(f"{start}{self._line(done, tokens)}{end}")

    def clear(self) -> None:
        """Leaves nothing: for what nobody needs to know of when it is done."""
        if self._live and self._shown:
            sys.stderr.write("\r\x1b[K")

    def _line(self, done: int, tokens: int) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (done - self._begun_at) / seconds
        text = f"{self._label}: {done:,}"
        if self._total is not None:
            text += f"/{self._total:,}"
        text += f" {self._unit} ({rate:,.0f}/s)" if rate >= 10 else f" {self._unit} ({rate:.2g}/s)"
        if tokens:
            text += f", {tokens:,} tokens ({tokens / seconds:,.0f}/s)"
        text += f", {seconds:.1f} s"
        if self._total is not None and done < self._total and rate:
            text += f", {(self._total - done) / rate:,.0f} s left"
        return text
