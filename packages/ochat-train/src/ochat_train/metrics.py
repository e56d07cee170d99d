"""The run's figures as JSON lines, one event a line, readable while the run goes on.

`{"event": "train", "step": ...}` after every step and `{"event": "eval", "step": ...}` at the end
of every epoch; what the fields mean is said in `readings` and `held_out`. Where else events go,
`metrics_services` says.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Protocol

from .files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class MetricsSink(Protocol):
    """Where events go."""

    def write(self, *events: Mapping[str, object]) -> None:
        """Takes events in order."""
        ...

    def close(self) -> None:
        """Takes no more."""
        ...


class MetricsLog:
    """Appends events to a file; several events become readable at once."""

    def __init__(self, path: Path) -> None:
        """Appends to `path`, which is created with the first event."""
        self.path = path

    def write(self, *events: Mapping[str, object]) -> None:
        """Appends events and hands them to the operating system.

        Raises:
            OutputError: the disk refuses.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(event) + "\n" for event in events)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Nothing is open between two writes."""

    def cut_after(self, step: int) -> None:
        """Drops events of later steps, which a resumed run will write again.

        A line that is damaged, such as a last one that the interrupted run left unfinished, is
        dropped too, with all that follow.
        """
        if not self.path.exists():
            return
        kept: list[bytes] = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n") or _step(line) > step:
                break
            kept.append(line)
        beside = self.path.with_name(f".{self.path.name}.partial")
        beside.write_bytes(b"".join(kept))
        beside.replace(self.path)


def best_step(path: Path) -> int | None:
    """The step with the lowest held-out loss; None where nothing was held out yet."""
    if not path.exists():
        return None
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    evaluations = [event for event in lines if event["event"] == "eval"]
    best = min(evaluations, key=lambda event: event["loss"], default=None)
    return None if best is None else int(best["step"])


def _step(line: bytes) -> float:
    """The step of an event; infinity where the line holds none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
