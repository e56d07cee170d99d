"""What a person sees while a run goes on: one line that renews itself, or one line now and then.

Only shows figures that the loop hands it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_BAR_CELLS = 24
_REDRAW_SECONDS = 0.2
# Without a terminal (a log file), a line every so often is enough.
_LINE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """The state of a run after a step.

    Attributes:
        step: steps done, of `total_steps`.
        total_steps: steps of the whole run.
        epoch: the current epoch, from 1, of `epochs`.
        epochs: number of epochs.
        loss: recent training loss, None before the first reading.
        supervised_per_second: recent speed over all ranks, in tokens that count.
        fill: share of the batches' capacity that held tokens so far.
        mfu: share of the devices' peak that the model's arithmetic takes; None where unknown.
        seconds_left: estimated time to the last step.
    """

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float | None
    supervised_per_second: float
    fill: float
    mfu: float | None
    seconds_left: float

    def __str__(self) -> str:
        """The figures without a bar."""
        loss = "-" if self.loss is None else f"{self.loss:.4f}"
        mfu = "" if self.mfu is None else f"MFU {self.mfu:.1%} "
        return (
            f"{self.step}/{self.total_steps} epoch {self.epoch}/{self.epochs} loss {loss} "
            f"{self.supervised_per_second:,.0f} supervised tok/s {mfu}fill {self.fill:.1%} "
            f"left {clock(self.seconds_left)}"
        )


class Progress:
    """Draws `StepFigures` on a stream, fast enough to be called every step."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        """Draws on `stream`, standard error by default; a bar if that is a terminal."""
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._terminal = self._stream.isatty()
        self._drawn_at = 0.0
        self._open_line = False

    def update(self, figures: StepFigures) -> None:
        """Shows the figures, unless something was drawn a moment ago and more steps follow."""
        now = time.monotonic()
        interval = _REDRAW_SECONDS if self._terminal else _LINE_SECONDS
        last = figures.step == figures.total_steps
        if self._quiet or (now - self._drawn_at < interval and not last):
            return
        self._drawn_at = now
        if not self._terminal:
            print(figures, file=self._stream, flush=True)
            return
        filled = round(_BAR_CELLS * figures.step / figures.total_steps)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        print(f"\r{bar} {figures}\x1b[K", end="", file=self._stream, flush=True)
        self._open_line = True

    def say(self, text: str) -> None:
        """Prints a line of its own, below the bar."""
        if self._quiet:
            return
        self.close()
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Ends the bar's line, so that whatever is printed next starts on its own."""
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
