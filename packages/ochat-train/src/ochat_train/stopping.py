"""When a run has to stop before its end: a signal of the machine's owner, or a limit of time.

Every rank may be told; whether all stop after the same step is decided by the loop, which sums up
what they were told.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class StopRequest:
    """Whether this process was asked to stop."""

    def __init__(self, time_limit_minutes: float | None = None) -> None:
        """Counts the time from now."""
        self._signal = 0
        limit = None if time_limit_minutes is None else 60 * time_limit_minutes
        self._deadline = None if limit is None else time.monotonic() + limit

    @property
    def reason(self) -> str:
        """Why to stop; empty as long as there is no reason."""
        if self._signal:
            return signal.Signals(self._signal).name
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return "the time limit" if late else ""

    @contextmanager
    def listening(self) -> Generator[StopRequest]:
        """Takes SIGTERM for a request instead of an end, as long as the block lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield self  # only the main thread may listen
            return
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._signal = number
