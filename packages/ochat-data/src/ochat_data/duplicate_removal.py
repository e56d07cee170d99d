"""Removes duplicates from record files: exact ones as they pass, near ones in a second look.

Near duplicates need all signatures first; the records wait in a temporary file meanwhile.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from .deduplication import (
    DuplicateGroup,
    ExactDuplicates,
    dropped_places,
    exact_digest,
    minhash,
    near_groups,
)
from .errors import InputError, RecordError
from .outputs import WholeFile
from .progress import Progress
from .reading import read_items
from .record import Record
from .stages import StageCounts, parse_item, record_output, reject_log

if TYPE_CHECKING:
    from numpy.typing import NDArray


def remove_duplicates(
    files: Sequence[str],
    output: str,
    *,
    method: str,
    threshold: float,
    groups: Path | None,
    max_reject_rate: float,
    rejects: str | None = None,
) -> tuple[StageCounts, int]:
    """Writes the records that say something new; returns the balance and the number of groups.

    Args:
        files: Record files.
        output: Record file to write; `-` is standard output.
        method: One of `deduplication.DEDUPLICATIONS`.
        threshold: Least similarity of near duplicates, above 0.
        groups: Where to list the groups; None lists them nowhere.
        max_reject_rate: Share of bad items above which the run fails.
        rejects: File for bad items; None means the output's name with `.rejects.jsonl`.

    Raises:
        InputError: A file cannot be read, or the threshold is 0.
    """
    if not threshold:
        raise InputError("a similarity of 0 would make all records one; give --threshold 0.8")
    counts, progress = StageCounts(), Progress("dedup")
    with (
        tempfile.TemporaryFile() as waiting,
        reject_log(output, rejects, files) as log,
        record_output(output) as write,
    ):
        near = waiting if method == "near" else None
        search = _Search(write, near, keeps_names=groups is not None)
        for item in read_items(files):
            counts.read += 1
            try:
                search.add(Record.from_json(parse_item(item)))
            except RecordError as error:
                log.add(item, "dedup", str(error))
            progress.update(counts.read)
        listed = search.finish(threshold)
        counts.used = counts.written = search.written
        counts.rejected = log.count
        log.check(counts.read, max_reject_rate)
    dropped = sum(len(group.dropped) for group in listed)
    if dropped:
        counts.dropped["duplicate"] = dropped
    progress.finish(counts.read)
    if groups is not None:
        _write_groups(groups, listed, search.names)
    return counts, len(listed)


class _Search:
    """What has been read so far: digests of all records, signatures of those that wait."""

    def __init__(
        self, write: Callable[[bytes], object], waiting: IO[bytes] | None, *, keeps_names: bool
    ) -> None:
        self.written = 0
        self.names: dict[int, str] = {}
        self._write = write
        self._waiting = waiting
        self._keeps_names = keeps_names
        self._exact = ExactDuplicates()
        self._found: dict[int, list[int]] = {}
        self._place = 0
        self._places = array("Q")
        self._signatures: list[NDArray[np.uint32]] = []

    def add(self, record: Record) -> None:
        """Writes a record that is new, or lets it wait for its like."""
        place, self._place = self._place, self._place + 1
        if self._keeps_names:
            self.names[place] = record.id
        first = self._exact.first_of(exact_digest(record), place)
        if first is not None:
            self._found.setdefault(first, []).append(place)
        elif self._waiting is not None:
            self._places.append(place)
            self._signatures.append(minhash(record))
            self._waiting.write(record.to_line())
        else:
            self._write(record.to_line())
            self.written += 1

    def finish(self, threshold: float) -> list[DuplicateGroup]:
        """Writes what waited and is new; returns all groups."""
        groups = [
            DuplicateGroup(kept=kept, dropped=tuple(others), similarity=1.0)
            for kept, others in sorted(self._found.items())
        ]
        if self._waiting is None or not self._signatures:
            return groups
        near = near_groups(np.array(self._signatures), threshold)
        left_out = dropped_places(near)
        self._waiting.seek(0)
        for index, line in enumerate(self._waiting):
            if index not in left_out:
                self._write(line)
                self.written += 1
        return groups + [
            DuplicateGroup(
                kept=self._places[group.kept],
                dropped=tuple(self._places[index] for index in group.dropped),
                similarity=group.similarity,
            )
            for group in near
        ]


def _write_groups(path: Path, groups: Sequence[DuplicateGroup], names: dict[int, str]) -> None:
    with WholeFile(path) as file:
        for group in groups:
            entry = {
                "kept": names[group.kept],
                "dropped": [names[place] for place in group.dropped],
                "similarity": group.similarity,
            }
            file.write(json.dumps(entry).encode() + b"\n")
