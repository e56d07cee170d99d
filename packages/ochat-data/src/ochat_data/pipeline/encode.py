"""One chunk of records to examples: leaves out duplicates and what a mixture takes no part of.

Like `prepare`, it runs anywhere and depends on the recipe and what was prepared alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ochat_data.example_table import SCHEMA, ExampleRows
from ochat_data.examples import ExampleMaker, TokenizeCounts
from ochat_data.mixing import copies_by_weight, copy_id
from ochat_templates import ConversationError, load_codec

from .chunks import Chunk
from .prepare import read_records
from .recipe import Recipe, read_recipe
from .work_folder import WorkFolder, with_name

if TYPE_CHECKING:
    from ochat_templates import Codec

# Beside the columns of a dataset: which split, and which record of the chunk.
_CHUNK_SCHEMA = SCHEMA.append(pa.field("split", pa.string())).append(pa.field("record", pa.int32()))


def encode_name(index: int) -> str:
    """What the files of an encoded chunk are called."""
    return f"encode-{index:06d}"


def encode_chunk(recipe_path: str, work_path: str, chunk: Chunk) -> dict[str, Any]:
    """Encodes a prepared chunk and says so in the work folder; returns its summary."""
    recipe, codec = _opened(recipe_path)
    source = recipe.sources[chunk.source]
    maker = ExampleMaker(codec, recipe.tokenize.options())
    work = Path(work_path)
    dropped = read_duplicates(work, chunk.index)
    rows = ExampleRows()
    splits: list[str] = []
    origins: list[int] = []
    rejects: list[bytes] = []
    read = left_out = 0
    for place, record in enumerate(read_records(work, chunk.index)):
        if place in dropped:
            continue
        read += 1
        seed = maker.options.seed
        copies = (
            1 if source.tokens is not None else copies_by_weight(record.id, source.weight, seed)
        )
        if not copies:
            left_out += 1
            continue
        try:
            examples = maker.make(record)
        except ConversationError as error:
            rejects.append(_reject(record.to_line(), record.source, record.id, str(error)))
            continue
        for copy in range(copies):
            for example in examples:
                own_id = copy_id(example.id, copy)
                rows.add(own_id, example.encoded, example.condition, example.source)
                splits.append(example.split)
                origins.append(place)
    name = encode_name(chunk.index)
    _write_examples(work / f"{name}.parquet", rows, splits, origins)
    with_name(work / f"{name}.rejects", b"".join(rejects))
    summary = {
        "read": read,
        "left_out": left_out,
        "rejected": len(rejects),
        "examples": len(rows),
        "counts": counts_to_json(maker.counts),
        "first_reject": json.loads(rejects[0])["reason"] if rejects else "",
    }
    WorkFolder.at(work).finish(name, summary)
    return summary


def read_examples(work: Path, index: int, columns: Sequence[str] | None = None) -> pa.Table:
    """The examples of an encoded chunk; all columns where none are named."""
    names = None if columns is None else list(columns)
    return pq.read_table(work / f"{encode_name(index)}.parquet", columns=names)


def write_duplicates(work: Path, index: int, places: Sequence[int]) -> None:
    """Notes which records of a chunk are left out as duplicates."""
    data = np.asarray(sorted(places), dtype=np.int64).tobytes()
    with_name(work / f"duplicates-{index:06d}", data)


def read_duplicates(work: Path, index: int) -> frozenset[int]:
    """The records of a chunk that are left out as duplicates."""
    data = (work / f"duplicates-{index:06d}").read_bytes()
    return frozenset(np.frombuffer(data, dtype=np.int64).tolist())


def counts_to_json(counts: TokenizeCounts) -> dict[str, Any]:
    """Counts as JSON."""
    values = {name: getattr(counts, name) for name in counts.__slots__ if name != "weights"}
    met = {name: sorted(found.items()) for name, found in counts.weights.items()}
    return {**values, "weights": met}


def counts_from_json(value: dict[str, Any]) -> TokenizeCounts:
    """Counts from what `counts_to_json` made."""
    from collections import Counter

    plain = {name: number for name, number in value.items() if name != "weights"}
    met = {name: Counter(dict(map(tuple, found))) for name, found in value["weights"].items()}
    return TokenizeCounts(**plain, weights=met)


@cache
def _opened(recipe_path: str) -> tuple[Recipe, Codec]:
    recipe = read_recipe(recipe_path)
    return recipe, load_codec(recipe.tokenize.tokenizer, recipe.tokenize.template)


def _write_examples(
    path: Path, rows: ExampleRows, splits: Sequence[str], origins: Sequence[int]
) -> None:
    columns = [
        *rows.to_table().columns,
        pa.chunked_array([pa.array(splits, pa.string())]),
        pa.chunked_array([pa.array(origins, pa.int32())]),
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=_CHUNK_SCHEMA), sink, compression="zstd")
    with_name(path, sink.getvalue().to_pybytes())


def _reject(line: bytes, source: str, record_id: str, reason: str) -> bytes:
    entry = {
        "file": source,
        "where": f"record {record_id}",
        "offset": None,
        "stage": "tokenize",
        "reason": reason,
        "raw": line.decode().rstrip("\n"),
    }
    return json.dumps(entry).encode() + b"\n"
