"""A line on standard error that says how far a long command is and how fast it goes.

Written over in place on a terminal; elsewhere only the last state is written, once.
"""

from __future__ import annotations

import sys
import time

_REFRESH_SECONDS = 0.2


class Progress:
    """Counts records and tokens of one command."""

    def __init__(self, label: str) -> None:
        """Starts the clock."""
        self._label = label
        self._started = time.monotonic()
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def update(self, records: int, tokens: int = 0) -> None:
        """Shows the totals so far, at most five times a second."""
        now = time.monotonic()
        if self._live and now - self._shown >= _REFRESH_SECONDS:
            self._shown = now
            sys.stderr.write(f"\r{self._line(records, tokens)}\x1b[K")
            sys.stderr.flush()

    def finish(self, records: int, tokens: int = 0) -> None:
        """Leaves the final totals on a line of their own."""
        start = "\r" if self._live else ""
        end = "\x1b[K\n" if self._live else "\n"
        sys.stderr.write(f"{start}{self._line(records, tokens)}{end}")

    def _line(self, records: int, tokens: int) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        text = f"{self._label}: {records:,} records ({records / seconds:,.0f}/s)"
        if tokens:
            text += f", {tokens:,} tokens ({tokens / seconds:,.0f}/s)"
        return f"{text}, {seconds:.1f} s"
