"""The run's figures as JSON lines, one event a line, readable while the run goes on.

`{"event": "train", "step": ...}` after every step and `{"event": "eval", "step": ...}` at the end
of every epoch; what the fields mean is said where the loop makes them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class MetricsLog:
    """Appends events to a file; several events become readable at once."""

    def __init__(self, path: Path) -> None:
        """Appends to `path`, which is created with the first event."""
        self.path = path

    def write(self, *events: Mapping[str, object]) -> None:
        """Appends events and hands them to the operating system."""
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)

    def cut_after(self, step: int) -> None:
        """Drops events of later steps, which a resumed run will write again.

        A last line that the interrupted run left unfinished is dropped too.
        """
        if not self.path.exists():
            return
        kept: list[str] = []
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n") or json.loads(line)["step"] > step:
                break
            kept.append(line)
        beside = self.path.with_name(f".{self.path.name}.partial")
        beside.write_text("".join(kept), encoding="utf-8")
        beside.replace(self.path)
