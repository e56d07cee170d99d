"""Writes token datasets: Parquet shards and a manifest in a folder that appears all at once.

Takes encoded examples as they come and knows nothing of templates or records.
"""

from __future__ import annotations

import hashlib
import shutil
from array import array
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DatasetError, OutputError
from .manifest import SPLITS, Manifest, SplitInfo, Totals

if TYPE_CHECKING:
    from ochat_templates import Encoded

# Small enough to hold in memory, large enough to compress and to read fast.
_EXAMPLES_PER_GROUP = 2_000
_TOKENS_PER_SHARD = 64_000_000

_SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("weight", pa.float32())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("length", pa.int32()),
        ("input_ids", pa.list_(pa.int32())),
        ("spans", pa.list_(_SPAN)),
        ("condition", pa.string()),
    ]
)


class TokenDatasetWriter:
    """Writes one token dataset; use as a context manager and call `finish` last.

    Everything goes to a hidden folder beside the output, which takes the output's name in
    `finish`; leaving the context without it leaves no trace.
    """

    def __init__(self, output: Path, *, overwrite: bool = False) -> None:
        """Checks that the output may be written.

        Raises:
            OutputError: The output exists and is not empty, and may not be overwritten.
        """
        require_free(output, overwrite=overwrite)
        self._output = output
        self._beside = output.with_name(f".{output.name}.partial")
        self._splits: dict[str, _SplitWriter] = {}

    def __enter__(self) -> TokenDatasetWriter:
        """Makes the folder beside the output, clearing what a killed run left there."""
        try:
            shutil.rmtree(self._beside, ignore_errors=True)
            self._beside.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"cannot write to {self._output.parent}: {error}") from error
        self._splits = {split: _SplitWriter(self._beside, split) for split in SPLITS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes whatever `finish` did not put in place."""
        for split in self._splits.values():
            split.abandon()
        shutil.rmtree(self._beside, ignore_errors=True)

    def add(self, split: str, example_id: str, encoded: Encoded, condition: str) -> None:
        """Appends an example to `train` or `eval`."""
        self._splits[split].add(example_id, encoded, condition)

    def close_shards(self) -> dict[str, SplitInfo]:
        """Ends the shards; returns what each split holds, for the manifest."""
        return {name: split.close() for name, split in self._splits.items()}

    def finish(self, manifest: Manifest) -> None:
        """Writes the manifest and gives the folder its name."""
        manifest.write(self._beside)
        old = self._output.with_name(f".{self._output.name}.replaced")
        shutil.rmtree(old, ignore_errors=True)
        if self._output.exists():
            self._output.rename(old)
        self._beside.rename(self._output)
        shutil.rmtree(old, ignore_errors=True)


def require_free(output: Path, *, overwrite: bool) -> None:
    """Refuses an output folder that holds something; only a dataset may be overwritten.

    Raises:
        OutputError: With the remedy.
    """
    if not output.name:
        raise OutputError(f"{output} cannot be an output; name a folder for the dataset")
    if not output.exists():
        return
    if not output.is_dir():
        raise OutputError(f"{output} is a file; choose another name for the dataset's folder")
    if not any(output.iterdir()):
        return
    try:
        Manifest.read(output)
    except DatasetError as error:
        raise OutputError(
            f"{output} holds files and is no token dataset; choose another name, or remove it"
        ) from error
    if not overwrite:
        raise OutputError(f"{output} already exists; choose another name, or give --overwrite")


class _SplitWriter:
    """The shards of one split, and their totals."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split
        self._shard = ""
        self._digests: dict[str, str] = {}
        self._writer: pq.ParquetWriter | None = None
        self._shard_tokens = 0
        self._group = _RowGroup()
        self._totals: dict[str, Totals] = {}

    def add(self, example_id: str, encoded: Encoded, condition: str) -> None:
        self._group.add(example_id, encoded, condition)
        added = count(encoded)
        self._totals[condition] = self._totals.get(condition, Totals()).plus(added)
        if len(self._group) >= _EXAMPLES_PER_GROUP:
            self._flush()

    def close(self) -> SplitInfo:
        if len(self._group):
            self._flush()
        self._end_shard()
        totals = Totals()
        for condition in self._totals.values():
            totals = totals.plus(condition)
        return SplitInfo(
            shards=dict(self._digests),
            totals=totals,
            conditions=dict(sorted(self._totals.items())),
        )

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        self.abandon()
        with (self._folder / self._shard).open("rb") as stream:
            self._digests[self._shard] = hashlib.file_digest(stream, "sha256").hexdigest()

    def _flush(self) -> None:
        if self._writer is None or self._shard_tokens >= _TOKENS_PER_SHARD:
            self._end_shard()
            self._shard = f"{self._split}-{len(self._digests):05d}.parquet"
            path = self._folder / self._shard
            self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
            self._shard_tokens = 0
        table = self._group.to_table()
        self._shard_tokens += len(self._group.ids)
        self._writer.write_table(table, row_group_size=_EXAMPLES_PER_GROUP)
        self._group = _RowGroup()


class _RowGroup:
    """Examples waiting to be written, as flat columns."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.conditions: list[str] = []
        self.ids = array("i")
        self.offsets = array("i", [0])
        self.starts = array("i")
        self.ends = array("i")
        self.weights = array("f")
        self.span_offsets = array("i", [0])

    def __len__(self) -> int:
        return len(self.names)

    def add(self, example_id: str, encoded: Encoded, condition: str) -> None:
        self.names.append(example_id)
        self.conditions.append(condition)
        self.ids.extend(encoded.ids)
        self.offsets.append(len(self.ids))
        for span in encoded.spans:
            self.starts.append(span.start)
            self.ends.append(span.end)
            self.weights.append(span.weight)
        self.span_offsets.append(len(self.starts))

    def to_table(self) -> pa.Table:
        offsets = np.frombuffer(self.offsets, dtype=np.int32)
        spans = pa.StructArray.from_arrays(
            [
                pa.array(np.asarray(self.starts, dtype=np.int32)),
                pa.array(np.asarray(self.ends, dtype=np.int32)),
                pa.array(np.asarray(self.weights, dtype=np.float32)),
            ],
            fields=list(_SPAN),
        )
        span_offsets = pa.array(np.asarray(self.span_offsets, dtype=np.int32))
        ids = pa.array(np.asarray(self.ids, dtype=np.int32))
        columns = [
            pa.array(self.names, pa.string()),
            pa.array(np.diff(offsets), pa.int32()),
            pa.ListArray.from_arrays(pa.array(offsets), ids),
            pa.ListArray.from_arrays(span_offsets, spans),
            pa.array(self.conditions, pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


def count(encoded: Encoded) -> Totals:
    """The totals of one example; the first token is never predicted."""
    supervised, weight = 0, 0.0
    for span in encoded.spans:
        predicted = max(0, span.end - max(1, span.start))
        if span.weight:
            supervised += predicted
            weight += predicted * span.weight
    return Totals(
        examples=1, tokens=len(encoded.ids), supervised_tokens=supervised, loss_weight=weight
    )
