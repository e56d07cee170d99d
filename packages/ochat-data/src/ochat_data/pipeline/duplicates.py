"""Finds the duplicates of a whole run, of which every chunk has noted its own fingerprints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ochat_data.deduplication import DuplicateGroup, ExactDuplicates, near_groups
from ochat_data.outputs import WholeFile

from .chunks import Chunk
from .encode import write_duplicates
from .prepare import read_fingerprints, read_records
from .recipe import Dedup


def find_duplicates(
    dedup: Dedup | None, work: Path, chunks: Sequence[Chunk], begins: Sequence[int]
) -> list[DuplicateGroup]:
    """Notes for every chunk which records are left out; returns the groups by overall place.

    Args:
        dedup: How equal records must be; None finds none.
        work: The work folder.
        chunks: All chunks.
        begins: The overall place of each chunk's first record.
    """
    dropped: dict[int, list[int]] = {chunk.index: [] for chunk in chunks}
    groups: list[DuplicateGroup] = []
    if dedup:
        exact, places, signatures = _exact(work, chunks, begins)
        groups += exact
        if len(signatures):
            groups += [
                DuplicateGroup(
                    kept=places[group.kept],
                    dropped=tuple(places[index] for index in group.dropped),
                    similarity=group.similarity,
                )
                for group in near_groups(signatures, dedup.threshold)
            ]
    for group in groups:
        for place in group.dropped:
            index = _chunk_of(begins, place)
            dropped[index].append(place - begins[index])
    for index, found in dropped.items():
        write_duplicates(work, index, found)
    return groups


def _exact(
    work: Path, chunks: Sequence[Chunk], begins: Sequence[int]
) -> tuple[list[DuplicateGroup], list[int], Any]:
    """Groups of equal records, and the places and signatures of all that are left."""
    exact = ExactDuplicates()
    met: dict[int, list[int]] = {}
    signatures: list[Any] = []
    places: list[int] = []
    for chunk in chunks:
        digests, signed = read_fingerprints(work, chunk.index)
        fresh: list[int] = []
        for place, digest in enumerate(digests):
            whole = begins[chunk.index] + place
            first = exact.first_of(digest, whole)
            if first is None:
                fresh.append(place)
            else:
                met.setdefault(first, []).append(whole)
        if signed is not None:
            signatures.append(signed[fresh])
            places += [begins[chunk.index] + place for place in fresh]
    groups = [
        DuplicateGroup(kept=kept, dropped=tuple(others), similarity=1.0)
        for kept, others in sorted(met.items())
    ]
    return groups, places, np.concatenate(signatures) if signatures else np.empty((0, 1))


def write_groups(
    path: Path,
    groups: Sequence[DuplicateGroup],
    work: Path,
    begins: Sequence[int],
) -> None:
    """Lists the groups by the ids of their records; no file where there are none."""
    if not groups:
        path.unlink(missing_ok=True)
        return
    ids = _ids_of(groups, work, begins)
    with WholeFile(path) as file:
        for group in groups:
            entry = {
                "kept": ids[group.kept],
                "dropped": [ids[place] for place in group.dropped],
                "similarity": group.similarity,
            }
            file.write(json.dumps(entry).encode() + b"\n")


def _ids_of(groups: Sequence[DuplicateGroup], work: Path, begins: Sequence[int]) -> dict[int, str]:
    """The ids of all records in groups, read chunk by chunk."""
    wanted: dict[int, list[int]] = {}
    for group in groups:
        for place in (group.kept, *group.dropped):
            wanted.setdefault(_chunk_of(begins, place), []).append(place)
    ids: dict[int, str] = {}
    for index, places in wanted.items():
        records = read_records(work, index)
        ids |= {place: records[place - begins[index]].id for place in places}
    return ids


def _chunk_of(begins: Sequence[int], place: int) -> int:
    return int(np.searchsorted(np.asarray(begins), place, side="right")) - 1
