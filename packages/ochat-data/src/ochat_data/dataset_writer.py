"""Writes token datasets: Parquet shards and a manifest in a folder that appears all at once.

Takes encoded examples as they come and knows nothing of templates or records.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DatasetError, OutputError
from .example_table import SCHEMA, ExampleRows, scale_table, table_totals
from .manifest import SPLITS, Manifest, SplitInfo, Totals

if TYPE_CHECKING:
    from ochat_templates import Encoded

# Small enough to hold in memory, large enough to compress and to read fast.
_EXAMPLES_PER_GROUP = 2_000
_TOKENS_PER_SHARD = 64_000_000


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

    def add(
        self, split: str, example_id: str, encoded: Encoded, condition: str, source: str = ""
    ) -> None:
        """Appends an example to `train` or `eval`."""
        self._splits[split].add(example_id, encoded, condition, source)

    def add_table(self, split: str, table: pa.Table) -> None:
        """Appends examples that are a table with `example_table.SCHEMA` already."""
        self._splits[split].add_table(table)

    def scale(self, factors: Mapping[str, float]) -> None:
        """Multiplies the weights of all that was added by the factor of its condition."""
        for name, split in self._splits.items():
            split.close()
            folder = self._beside / f"{name}.scaled"
            folder.mkdir()
            scaled = _SplitWriter(folder, name)
            for shard in split.shards:
                with pq.ParquetFile(self._beside / shard) as opened:
                    for index in range(opened.num_row_groups):
                        scaled.add_table(scale_table(opened.read_row_group(index), factors))
            scaled.close()
            for shard in scaled.shards:
                (folder / shard).replace(self._beside / shard)
            folder.rmdir()
            self._splits[name] = scaled

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
    """The shards of one split, and their totals.

    Row groups have the same size however the examples came, so that the files are the same.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split
        self._shard = ""
        self._digests: dict[str, str] = {}
        self._writer: pq.ParquetWriter | None = None
        self._shard_tokens = 0
        self._rows = ExampleRows()
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._totals: dict[str, Totals] = {}

    @property
    def shards(self) -> list[str]:
        """The names of the shards that are ended."""
        return list(self._digests)

    def add(self, example_id: str, encoded: Encoded, condition: str, source: str) -> None:
        self._rows.add(example_id, encoded, condition, source)
        if len(self._rows) >= _EXAMPLES_PER_GROUP:
            self._end_rows()

    def add_table(self, table: pa.Table) -> None:
        self._pending.append(table)
        self._pending_rows += len(table)
        if self._pending_rows < _EXAMPLES_PER_GROUP:
            return
        whole = pa.concat_tables(self._pending)
        end = len(whole) - len(whole) % _EXAMPLES_PER_GROUP
        for start in range(0, end, _EXAMPLES_PER_GROUP):
            self._write(whole.slice(start, _EXAMPLES_PER_GROUP))
        rest = whole.slice(end)
        self._pending_rows = len(rest)
        self._pending.clear()
        if self._pending_rows:
            self._pending.append(rest)

    def close(self) -> SplitInfo:
        self._end_rows()
        if self._pending:
            self._write(pa.concat_tables(self._pending))
            self._pending.clear()
            self._pending_rows = 0
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

    def _end_rows(self) -> None:
        if len(self._rows):
            self.add_table(self._rows.to_table())
            self._rows = ExampleRows()

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        self.abandon()
        with (self._folder / self._shard).open("rb") as stream:
            self._digests[self._shard] = hashlib.file_digest(stream, "sha256").hexdigest()

    def _write(self, table: pa.Table) -> None:
        if self._writer is None or self._shard_tokens >= _TOKENS_PER_SHARD:
            self._end_shard()
            self._shard = f"{self._split}-{len(self._digests):05d}.parquet"
            path = self._folder / self._shard
            self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
            self._shard_tokens = 0
        table = table.combine_chunks()
        for condition, added in table_totals(table).items():
            self._totals[condition] = self._totals.get(condition, Totals()).plus(added)
        self._shard_tokens += int(table["length"].to_numpy().sum())
        self._writer.write_table(table, row_group_size=_EXAMPLES_PER_GROUP)
