"""The folder beside a pipeline's output in which each finished piece of work is kept.

A piece is finished when its summary stands there under its own name; everything else of it is
written before. Whatever a killed run left unfinished is done again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ochat_data.errors import OutputError


class WorkFolder:
    """Finished pieces of one recipe over one set of inputs."""

    def __init__(self, output: Path, key: str) -> None:
        """Takes the output that the work is for, and a name that tells this work from any other."""
        self._parent = output.with_name(f".{output.name}.work")
        self.path = self._parent / key

    @classmethod
    def at(cls, path: Path) -> WorkFolder:
        """The folder that a worker was told of; it is open already."""
        folder = cls.__new__(cls)
        folder._parent, folder.path = path.parent, path
        return folder

    def open(self) -> bool:
        """Makes the folder, removing older work; returns whether finished pieces were found.

        Raises:
            OutputError: Nothing can be written there.
        """
        try:
            if self._parent.exists():
                for other in self._parent.iterdir():
                    if other != self.path:
                        shutil.rmtree(other, ignore_errors=True)
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self._parent}: {error.strerror}") from error
        return any(self.path.glob("*.json"))

    def remove(self) -> None:
        """Removes all work."""
        shutil.rmtree(self._parent, ignore_errors=True)

    def summary(self, name: str) -> dict[str, Any] | None:
        """What a finished piece said of itself; None if it is not finished."""
        try:
            found: dict[str, Any] = json.loads((self.path / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None
        return found

    def finish(self, name: str, summary: Mapping[str, object]) -> None:
        """Says that a piece is finished; its files must stand already."""
        with_name(self.path / f"{name}.json", json.dumps(summary).encode())


def with_name(path: Path, data: bytes) -> None:
    """Writes a file that appears whole or not at all, whoever else writes it at the same time."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)
