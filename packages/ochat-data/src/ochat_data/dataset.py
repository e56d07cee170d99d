"""Reads token datasets into flat arrays, ready to be gathered into batches.

Which examples share a batch is `packing`'s business; how a dataset is made is `tokenizing`'s.

Legend: a split lies in memory as one array of all its ids, and example `i` is
`ids[offsets[i] : offsets[i + 1]]`; its loss spans likewise.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DatasetError
from .example_table import SCHEMA
from .manifest import SPLITS, Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ochat_templates import Fingerprint

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One tokenized conversation.

    Attributes:
        id: The record's id.
        ids: int32 `(tokens,)`.
        weights: float32 `(tokens,)`, unshifted: the weight of a token as a prediction target.
        condition: The condition it was written with.
    """

    id: str
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    condition: str


class TokenSplit:
    """One split in memory: lengths and weights for planning, examples for training."""

    def __init__(self, columns: Sequence[pa.Table]) -> None:
        """Takes the tables of the split's shards, in order."""
        self.record_ids: list[str] = _strings(columns, "id")
        self.conditions: list[str] = _strings(columns, "condition")
        self.sources: list[str] = _strings(columns, "source")
        self._ids, self._offsets = _flat_lists(columns, "input_ids", None, np.int32)
        self._starts, self._span_offsets = _flat_lists(columns, "spans", "start", np.int32)
        self._ends, _ = _flat_lists(columns, "spans", "end", np.int32)
        self._weights, _ = _flat_lists(columns, "spans", "weight", np.float32)
        self.lengths: NDArray[np.int64] = np.diff(self._offsets)
        self.loss_weights: NDArray[np.float64]
        self.supervised: NDArray[np.int64]
        self.loss_weights, self.supervised = self._sum_predicted()

    def id_outside(self, vocab_size: int) -> int | None:
        """A token id outside `[0, vocab_size)`; None where there is none."""
        if not self._ids.size:
            return None
        lowest, highest = int(self._ids.min()), int(self._ids.max())
        return lowest if lowest < 0 else highest if highest >= vocab_size else None

    @property
    def largest_id(self) -> int:
        """The largest token id; -1 where there are no tokens."""
        return int(self._ids.max(initial=-1))

    @property
    def turns(self) -> NDArray[np.int64]:
        """Runs of tokens with a weight, which are the trained turns, int64 `(examples,)`."""
        return np.diff(self._span_offsets)

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.lengths)

    def example(self, index: int) -> Example:
        """Returns one example; its arrays are views or fresh, never to be written to.

        Raises:
            DatasetError: There is no such example.
        """
        if not 0 <= index < len(self):
            raise DatasetError(f"no example {index}: the split has {len(self)}, counted from 0")
        ids = self._ids[self._offsets[index] : self._offsets[index + 1]]
        weights = np.zeros(len(ids), dtype=np.float32)
        for span in range(int(self._span_offsets[index]), int(self._span_offsets[index + 1])):
            weights[self._starts[span] : self._ends[span]] = self._weights[span]
        return Example(
            id=self.record_ids[index], ids=ids, weights=weights, condition=self.conditions[index]
        )

    def _sum_predicted(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Of positions 1..length-1 (0 is never predicted): the weights, and how many have one."""
        predicted = np.maximum(0, self._ends - np.maximum(1, self._starts))
        owner = np.repeat(np.arange(len(self)), np.diff(self._span_offsets))
        weights = (predicted * self._weights).astype(np.float64)
        counts = predicted * (self._weights > 0)
        return (
            np.bincount(owner, weights=weights, minlength=len(self)).astype(np.float64),
            np.bincount(owner, weights=counts, minlength=len(self)).astype(np.int64),
        )


class TokenDataset:
    """A token dataset on disk; open one with `TokenDataset.open`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Takes the folder and its manifest."""
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: str | Path) -> TokenDataset:
        """Opens a dataset; tokens are read when a split is asked for.

        Raises:
            DatasetError: The folder is missing, is no dataset, or of another schema version.
        """
        path = Path(folder)
        if not path.is_dir():
            raise DatasetError(f"{path} is not a folder; make a token dataset: ochat-data tokenize")
        return cls(path, Manifest.read(path))

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the codec that made the tokens."""
        return self.manifest.fingerprint

    @property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs for these ids."""
        return self.manifest.vocab_size

    def split(self, name: str) -> TokenSplit:
        """Reads `train` or `eval`; a split nobody asked for at tokenizing has no examples.

        Every shard is compared with the digest that the manifest has of it.

        Raises:
            DatasetError: There is no such split, or a shard is missing, damaged, another one than
                the manifest names, or holds token ids outside the vocabulary.
        """
        if name not in SPLITS:
            raise DatasetError(f"no split {name!r}; the splits are {' and '.join(SPLITS)}")
        info = self.manifest.splits[name]
        split = TokenSplit([self._read(shard, digest) for shard, digest in info.shards.items()])
        found = (len(split), int(split.lengths.sum()))
        expected = (info.totals.examples, info.totals.tokens)
        if found != expected:
            raise DatasetError(
                f"{self.folder}: the {name} shards hold {found[0]} examples with {found[1]} "
                f"tokens, the manifest says {expected[0]} with {expected[1]}; tokenize again"
            )
        stray = split.id_outside(self.vocab_size)
        if stray is not None:
            raise DatasetError(
                f"{self.folder}: the {name} shards hold the token id {stray}, which is outside the "
                f"manifest's vocabulary of {self.vocab_size}; tokenize again"
            )
        return split

    def _read(self, shard: str, digest: str) -> pa.Table:
        path = self.folder / shard
        remedy = "copy the dataset again, or tokenize again"
        try:
            # Read once: the same bytes are hashed and parsed.
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise DatasetError(f"the shard {path} is missing; {remedy}") from error
        except OSError as error:
            raise DatasetError(f"cannot read the shard {path}: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise DatasetError(
                f"the shard {path} is damaged, or of another dataset: its SHA-256 is not the "
                f"manifest's; {remedy}"
            )
        try:
            file = pq.ParquetFile(pa.BufferReader(content))
            if file.schema_arrow != SCHEMA:
                raise DatasetError(f"the shard {path} has other columns than expected; {remedy}")
            return file.read(columns=["id", "input_ids", "spans", "condition", "source"])
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise DatasetError(f"cannot read the shard {path}: {reason}; tokenize again") from error


def _strings(tables: Sequence[pa.Table], column: str) -> list[str]:
    return [text for table in tables for text in table.column(column).to_pylist()]


def _flat_lists(
    tables: Sequence[pa.Table], column: str, field: str | None, dtype: type[_Scalar]
) -> tuple[NDArray[_Scalar], NDArray[np.int64]]:
    """A list column as one flat array and int64 offsets `(examples + 1,)`."""
    values: list[NDArray[_Scalar]] = [np.empty(0, dtype)]
    lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    for table in tables:
        for chunk in table.column(column).chunks:
            flat = chunk.flatten()
            flat = flat.field(field) if field else flat
            values.append(flat.to_numpy(zero_copy_only=False))
            lengths.append(np.diff(chunk.offsets.to_numpy()).astype(np.int64))
    return np.concatenate(values), np.cumsum(np.concatenate(lengths))
