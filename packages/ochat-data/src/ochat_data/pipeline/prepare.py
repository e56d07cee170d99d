"""One chunk of raw items to records: import, clean, filter, decontaminate, label, fingerprint.

Runs in any process on any machine that sees the work folder; what it writes depends on the recipe
and the chunk alone.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ochat_data.deduplication import exact_digest, minhash
from ochat_data.errors import RecordError
from ochat_data.record import Record
from ochat_data.record_steps import (
    Dropped,
    RecordStep,
    clean_step,
    decontaminate_step,
    filter_step,
    import_item,
    label_step,
)

from .chunks import Chunk
from .recipe import Recipe, Source, read_recipe
from .work_folder import WorkFolder, with_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ochat_data.reading import RawItem


@dataclass(slots=True)
class _Balance:
    """What one step did with the records of a chunk."""

    read: int = 0
    used: int = 0
    written: int = 0
    rejected: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, object]:
        return {
            "read": self.read,
            "used": self.used,
            "written": self.written,
            "rejected": self.rejected,
            "dropped": dict(sorted(self.dropped.items())),
        }


def prepare_name(index: int) -> str:
    """What the files of a prepared chunk are called."""
    return f"prepare-{index:06d}"


def prepare_chunk(recipe_path: str, work_path: str, chunk: Chunk) -> dict[str, Any]:
    """Prepares a chunk and says so in the work folder; returns its summary."""
    recipe, steps, repairs = _opened(recipe_path)
    repairs.clear()
    source = recipe.sources[chunk.source]
    balances = {name: _Balance() for name in ("import", *(name for name, _ in steps))}
    rejects: list[bytes] = []
    records: list[Record] = []
    files: Counter[str] = Counter()
    for item in chunk.items(Path(work_path)):
        files[item.file] += 1
        balances["import"].read += 1
        try:
            imported = _import(item, source)
        except RecordError as error:
            balances["import"].rejected += 1
            rejects.append(_reject(item, str(error)))
            continue
        balances["import"].used += 1
        balances["import"].written += len(imported)
        for record in imported:
            kept = _run_steps(record, steps, balances)
            if kept is not None:
                records.append(kept)
    work = Path(work_path)
    name = prepare_name(chunk.index)
    _write_records(work / f"{name}.records", records)
    with_name(work / f"{name}.rejects", b"".join(rejects))
    _write_fingerprints(work / f"{name}.npz", records, recipe)
    summary = {
        "records": len(records),
        "balances": {step: balance.to_json() for step, balance in balances.items()},
        "files": dict(sorted(files.items())),
        "repairs": dict(sorted(repairs.items())),
        "first_reject": json.loads(rejects[0])["reason"] if rejects else "",
    }
    WorkFolder.at(work).finish(name, summary)
    return summary


def read_records(work: Path, index: int) -> list[Record]:
    """The records of a prepared chunk."""
    with pa.input_stream(str(work / f"{prepare_name(index)}.records"), compression="zstd") as file:
        data = file.read()
    import orjson

    return [Record.from_json(orjson.loads(line)) for line in data.splitlines()]


def read_fingerprints(work: Path, index: int) -> tuple[list[bytes], NDArray[np.uint32] | None]:
    """The exact digests of a prepared chunk, and its MinHash signatures where they were asked."""
    with np.load(work / f"{prepare_name(index)}.npz") as arrays:
        flat = arrays["digests"].tobytes()
        digests = [flat[start : start + 16] for start in range(0, len(flat), 16)]
        return digests, arrays.get("signatures")


@cache
def _opened(recipe_path: str) -> tuple[Recipe, list[tuple[str, RecordStep]], Counter[str]]:
    """The recipe's steps, opened once a process."""
    recipe = read_recipe(recipe_path)
    repairs: Counter[str] = Counter()
    steps: list[tuple[str, RecordStep]] = []
    if recipe.clean:
        steps.append(("clean", clean_step(recipe.clean, repairs)))
    if recipe.filter:
        from ochat_data.filtering import RecordFilter

        steps.append(("filter", filter_step(RecordFilter(recipe.filter))))
    if recipe.decontaminate:
        from ochat_data.decontamination import read_benchmarks

        benchmark = read_benchmarks(recipe.decontaminate.files)
        steps.append(("decontaminate", decontaminate_step(benchmark)))
    if recipe.label:
        labels = recipe.label
        steps.append(("label", label_step(labels.labels(), labels.unmatched)))
    return recipe, steps, repairs


def _import(item: RawItem, source: Source) -> list[Record]:
    records = import_item(
        item, format_name=source.format, columns=source.columns, model=source.model
    )
    return [_as_source_says(record, source) for record in records]


def _as_source_says(record: Record, source: Source) -> Record:
    if record.is_document:
        weight = source.loss_weight
        return record if weight is None else replace(record, weight=weight)
    conversation = record.conversation
    if source.condition:
        conversation = replace(conversation, condition=source.condition)
    if source.loss_weight is not None:
        messages = tuple(
            replace(message, weight=source.loss_weight)
            if message.role == "assistant" and message.weight != 0
            else message
            for message in conversation.messages
        )
        conversation = replace(conversation, messages=messages)
    return replace(record, conversation=conversation)


def _run_steps(
    record: Record, steps: Sequence[tuple[str, RecordStep]], balances: dict[str, _Balance]
) -> Record | None:
    for name, step in steps:
        balance = balances[name]
        balance.read += 1
        result = step(record)
        if isinstance(result, Dropped):
            balance.dropped[result.reason] += 1
            return None
        balance.used += 1
        balance.written += 1
        record = result
    return record


def _reject(item: RawItem, reason: str) -> bytes:
    entry = {
        "file": item.file,
        "where": item.where,
        "offset": item.offset,
        "stage": "import",
        "reason": reason,
        "raw": item.raw_text(),
    }
    return json.dumps(entry).encode() + b"\n"


def _write_records(path: Path, records: Sequence[Record]) -> None:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for record in records:
            stream.write(record.to_line())
    with_name(path, sink.getvalue().to_pybytes())


def _write_fingerprints(path: Path, records: Sequence[Record], recipe: Recipe) -> None:
    arrays: dict[str, Any] = {}
    digests = b"".join(map(exact_digest, records)) if recipe.dedup else b""
    arrays["digests"] = np.frombuffer(digests, dtype=np.uint8)
    if recipe.dedup and recipe.dedup.method == "near":
        arrays["signatures"] = np.array(
            [minhash(record) for record in records], dtype=np.uint32
        ).reshape(len(records), -1)
    beside = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez(beside, **arrays)
    beside.replace(path)
