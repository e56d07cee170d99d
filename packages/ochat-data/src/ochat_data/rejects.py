"""Sets bad records aside in a file of their own, each with its place, stage, reason and raw text.

Whoever reads or converts decides what is bad; this only keeps it and minds the limit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError, RejectRateError
from .outputs import WholeFile

if TYPE_CHECKING:
    from types import TracebackType

    from .reading import RawItem

# A dump of which more than half is unusable is usually another format than was thought.
DEFAULT_MAX_REJECT_RATE = 0.5


class RejectLog:
    """The rejects of one run; use as a context manager.

    They are written beside `path` and take its name when the context ends, however it ends, so
    that a failed run can be looked into. A run without rejects empties a file that the user named
    and removes one of the default name, so that no older rejects are taken for its own.
    """

    def __init__(self, path: Path | None, *, named: bool = False) -> None:
        """Takes the file to write; None counts only.

        Args:
            path: The file.
            named: The user named it, so it is never removed.
        """
        self.path = path
        self._named = named
        self.count = 0
        self.first = ""
        self._stage = ""
        self._file: WholeFile | None = None

    def __enter__(self) -> RejectLog:
        """Nothing is opened before the first reject."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the file its name."""
        if self._file is not None:
            self._file.commit()
        elif error is None and self.path is not None:
            if self._named:
                WholeFile(self.path).commit()
            elif self.path.is_file():
                self.path.unlink()

    def add(self, item: RawItem, stage: str, reason: str) -> None:
        """Sets one item aside."""
        self.count += 1
        self.first = self.first or f"{item.file}, {item.where}: {reason}"
        self._stage = stage
        if self.path is None:
            return
        entry = {
            "file": item.file,
            "where": item.where,
            "offset": item.offset,
            "stage": stage,
            "reason": reason,
            "raw": item.raw_text(),
        }
        if self._file is None:
            self._file = WholeFile(self.path)
        self._file.write(json.dumps(entry).encode() + b"\n")

    def check(self, read: int, max_rate: float) -> None:
        """Fails the run if it has nothing to show, or too many rejects.

        Raises:
            InputError: Every record was rejected, or there was none.
            RejectRateError: More than `max_rate` of the records were rejected.
        """
        if not read:
            raise InputError("the input holds no records; check that it is the right file")
        if self.count == read:
            first = self.first
            if self._stage != "import":
                first += "; a raw dump has to go through 'ochat-data import' first"
            raise InputError(f"none of the {read} records is usable; the first: {first}")
        if self.count > max_rate * read:
            where = f" (all in {self.path})" if self.path else ""
            raise RejectRateError(
                f"{self.count} of {read} records were rejected{where}, more than "
                f"--max-reject-rate {max_rate:g} allows; the first: {self.first}"
            )
