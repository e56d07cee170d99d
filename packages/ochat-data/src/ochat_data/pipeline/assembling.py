"""Puts encoded chunks together: takes what the mixture wants of them, scales weights, writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ochat_data.example_table import SCHEMA, scale_table
from ochat_data.manifest import DOCUMENT_CONDITION, SPLITS
from ochat_data.mixing import copies_by_tokens, copy_id

from .chunks import Chunk
from .encode import read_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ochat_data.dataset_writer import TokenDatasetWriter

    from .recipe import Recipe

# What enters as a whole: its chunk and record, and of a document also the example.
_Unit = tuple[int, int, int]


@dataclass(slots=True)
class Mixture:
    """What a mixture takes of the encoded records.

    Attributes:
        copies: For each chunk of a source with a number of tokens, how often each of its rows
            enters; other chunks enter once.
        examples: Examples taken, by condition.
        records: Records that there are.
        taken: Records of which at least one copy is taken.
    """

    copies: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    examples: Counter[str] = field(default_factory=Counter)
    records: int = 0
    taken: int = 0


def choose_mixture(recipe: Recipe, work: Path, chunks: Sequence[Chunk]) -> Mixture:
    """Decides how often each encoded record enters.

    Raises:
        InputError: A source has no tokens to take.
    """
    mixture = Mixture()
    for index, source in enumerate(recipe.sources):
        own = [chunk for chunk in chunks if chunk.source == index]
        if source.tokens is not None:
            _choose_by_tokens(mixture, work, own, source.tokens, recipe.tokenize.seed)
            continue
        for chunk in own:
            table = read_examples(work, chunk.index, ["condition", "record"])
            mixture.examples.update(table["condition"].to_pylist())
            count = len(set(table["record"].to_pylist()))
            mixture.records += count
            mixture.taken += count
    return mixture


def _choose_by_tokens(
    mixture: Mixture, work: Path, chunks: Sequence[Chunk], tokens: int, seed: int
) -> None:
    """The examples of a conversation enter together; those of a document, each for itself."""
    lengths: dict[_Unit, int] = {}
    ids: list[str] = []
    rows: dict[int, list[tuple[_Unit, str]]] = {}
    for chunk in chunks:
        table = read_examples(work, chunk.index, ["id", "length", "record", "condition"])
        rows[chunk.index] = []
        for place, row in enumerate(table.to_pylist()):
            own = place if row["condition"] == DOCUMENT_CONDITION else -1
            unit = (chunk.index, row["record"], own)
            rows[chunk.index].append((unit, row["condition"]))
            if unit not in lengths:
                lengths[unit] = 0
                ids.append(row["id"])
            lengths[unit] += row["length"]
    chosen = copies_by_tokens(ids, list(lengths.values()), tokens, seed)
    copies = dict(zip(lengths, chosen, strict=True))
    mixture.records += len({unit[:2] for unit in copies})
    mixture.taken += len({unit[:2] for unit, count in copies.items() if count})
    for index, found in rows.items():
        counts = [copies[unit] for unit, _ in found]
        mixture.copies[index] = np.asarray(counts, dtype=np.int64)
        for count, (_, condition) in zip(counts, found, strict=True):
            mixture.examples[condition] += count


def add_examples(
    writer: TokenDatasetWriter,
    work: Path,
    chunk: Chunk,
    copies: NDArray[np.int64] | None,
    factors: Mapping[str, float],
) -> None:
    """Adds the examples of a chunk to the dataset, in order."""
    table = read_examples(work, chunk.index)
    splits = np.asarray(table["split"].to_pylist(), dtype=object)
    table = scale_table(table.select(SCHEMA.names), factors)
    for split in SPLITS:
        rows = np.flatnonzero(splits == split)
        if copies is not None:
            rows = np.repeat(rows, copies[rows])
        if len(rows):
            chosen = table.take(pa.array(rows)).cast(SCHEMA)
            writer.add_table(split, _with_own_ids(chosen, rows))


def _with_own_ids(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Every further copy of a row gets an id of its own."""
    copy = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
    if not copy.any():
        return table
    pairs = zip(table["id"].to_pylist(), copy.tolist(), strict=True)
    ids = [copy_id(example_id, number) for example_id, number in pairs]
    return table.set_column(0, SCHEMA.field("id"), pa.array(ids, pa.string()))
