"""Reads and writes the two Parquet layouts that OpenChat's own trainers used.

2023 (V3.1, V3.2): a row holds the answers of up to two groups to one question, as `{g}_tokens` and
`{g}_masks` with g = 0 for GPT-3.5 and 1 for GPT-4, and `total_loss_weight`, the sum of the groups'
weights. A masked token of a sequence counts group weight / masked tokens after the first.

2024 (3.5, 3.6): a row holds one sequence as `nz_input_ids`, with `nz_shifted_label_ids` and
`nz_shifted_loss_weights` moved one to the left; labels without weight are 0.

Both carry `metadata_json` with the `model_type` in the file's own metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ochat_templates import Encoded, Span

from .errors import DatasetError, InputError
from .examples import EncodedExample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .dataset import TokenSplit
    from .manifest import Manifest

LAYOUTS = ("2023", "2024")
# The groups of the 2023 layout, by number.
GROUP_CONDITIONS = ("GPT3", "GPT4")
_METADATA = b"metadata_json"
_ROWS_AT_ONCE = 512
_COLUMNS_2024 = pa.schema(
    [
        ("total_length", pa.int32()),
        ("num_seqs", pa.float32()),
        ("seqlens", pa.list_(pa.int32())),
        ("nz_input_ids", pa.list_(pa.int32())),
        ("nz_position_ids", pa.list_(pa.int32())),
        ("nz_shifted_label_ids", pa.list_(pa.int32())),
        ("nz_shifted_loss_weights", pa.list_(pa.float32())),
    ]
)
_COLUMNS_2023 = pa.schema(
    [
        ("total_length", pa.int32()),
        ("num_seqs", pa.int32()),
        *((f"{group}_tokens", pa.list_(pa.int32())) for group in (0, 1)),
        *((f"{group}_masks", pa.list_(pa.bool_())) for group in (0, 1)),
        ("total_loss_weight", pa.float32()),
    ]
)


def legacy_metadata(path: Path) -> dict[str, Any]:
    """The file's metadata with its `layout`: `model_type`, and group weights for 2023.

    Raises:
        InputError: It is no such file.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    names = set(schema.names)
    if "nz_input_ids" in names:
        layout = "2024"
    elif "0_tokens" in names or "1_tokens" in names:
        layout = "2023"
    else:
        raise InputError(
            f"{path} is of neither layout of OpenChat's trainers (no 'nz_input_ids', no "
            f"'0_tokens'); its columns are {', '.join(schema.names)}"
        )
    found = (schema.metadata or {}).get(_METADATA, b"{}")
    metadata: dict[str, Any] = {"layout": layout, **json.loads(found)}
    return metadata


def read_legacy(path: Path, split: str, condition: str = "") -> Iterator[EncodedExample]:
    """Yields the examples of a file, with ids that tell file and row.

    Args:
        path: The file.
        split: Which split they go to.
        condition: What 2024's examples get, whose layout does not say.

    Raises:
        InputError: It is no such file, or a row of it is broken.
    """
    metadata = legacy_metadata(path)
    row = 0
    with pq.ParquetFile(path) as opened:
        for batch in opened.iter_batches(_ROWS_AT_ONCE):
            for value in batch.to_pylist():
                try:
                    if metadata["layout"] == "2024":
                        found = [(condition, _sequence_2024(value))]
                    else:
                        found = _sequences_2023(value, metadata.get("group_loss_weights"))
                except (KeyError, TypeError, ValueError, IndexError) as error:
                    raise InputError(f"{path}, row {row} is broken: {error}") from error
                for number, (name, encoded) in enumerate(found):
                    key = f"{path.name}:{row}:{number}".encode()
                    example_id = hashlib.blake2b(key, digest_size=16).hexdigest()
                    yield EncodedExample(example_id, split, name, encoded, path.name)
                row += 1


def write_legacy(path: Path, split: TokenSplit, manifest: Manifest, layout: str) -> None:
    """Writes a split in one of `LAYOUTS`.

    Raises:
        DatasetError: The layout cannot say what the dataset does.
    """
    metadata: dict[str, Any] = {"model_type": manifest.template}
    if layout == "2023":
        if manifest.weight_preset != "v3-balanced":
            raise DatasetError(
                "the 2023 layout holds masks and one weight a group, which is what the weights "
                f"v3-balanced mean; this dataset has {manifest.weight_preset}: tokenize it with "
                "--weights v3-balanced, or write the 2024 layout"
            )
        unknown = set(manifest.splits["train"].conditions) - set(GROUP_CONDITIONS)
        if unknown:
            raise DatasetError(
                f"the 2023 layout knows {' and '.join(GROUP_CONDITIONS)} only; this dataset has "
                f"{', '.join(sorted(unknown))}: write the 2024 layout"
            )
        weights = [manifest.weight_factors.get(name, 0.0) for name in GROUP_CONDITIONS]
        metadata |= {"group_loss_weights": weights, "num_groups": len(weights)}
        schema, rows = _COLUMNS_2023, _rows_2023(split, weights)
    else:
        schema, rows = _COLUMNS_2024, _rows_2024(split)
    schema = schema.with_metadata({_METADATA: json.dumps(metadata)})
    beside = path.with_name(f".{path.name}.partial")
    with pq.ParquetWriter(beside, schema) as writer:
        batch: list[Mapping[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch.clear()
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    beside.replace(path)


def _sequence_2024(row: Mapping[str, Any]) -> Encoded:
    ids, shifted = row["nz_input_ids"], row["nz_shifted_loss_weights"]
    if len(ids) != len(shifted):
        raise ValueError(f"{len(ids)} ids and {len(shifted)} weights")
    return Encoded(ids=ids, spans=_runs([0.0, *shifted[:-1]]))


def _sequences_2023(
    row: Mapping[str, Any], group_weights: Sequence[float] | None
) -> list[tuple[str, Encoded]]:
    found: list[tuple[str, Encoded]] = []
    for group, condition in enumerate(GROUP_CONDITIONS):
        ids, masks = row.get(f"{group}_tokens") or [], row.get(f"{group}_masks") or []
        if len(ids) != len(masks):
            raise ValueError(f"{len(ids)} tokens and {len(masks)} masks")
        if not ids:
            continue
        weight = group_weights[group] if group_weights else 1.0
        each = weight / max(1, sum(masks[1:]))
        found.append(
            (condition, Encoded(ids=ids, spans=_runs([each if mask else 0.0 for mask in masks])))
        )
    return found


def _runs(weights: Sequence[float]) -> tuple[Span, ...]:
    """The spans of equal weights other than 0."""
    values = np.asarray(weights, dtype=np.float32)
    borders = np.flatnonzero(np.diff(values)) + 1
    starts = [0, *borders.tolist()]
    ends = [*borders.tolist(), len(values)]
    return tuple(
        Span(start=start, end=end, weight=float(values[start]))
        for start, end in zip(starts, ends, strict=True)
        if start < end and values[start]
    )


def _rows_2024(split: TokenSplit) -> Iterator[Mapping[str, Any]]:
    for index in range(len(split)):
        example = split.example(index)
        ids = example.ids
        weights = example.weights
        labels = np.where(weights != 0, ids, 0)
        shifted = np.append(weights[1:], np.float32(0))
        yield {
            "total_length": len(ids),
            "num_seqs": float(shifted.sum()),
            "seqlens": [len(ids)],
            "nz_input_ids": ids,
            "nz_position_ids": np.arange(len(ids)),
            "nz_shifted_label_ids": np.append(labels[1:], 0),
            "nz_shifted_loss_weights": shifted,
        }


def _rows_2023(split: TokenSplit, group_weights: Sequence[float]) -> Iterator[Mapping[str, Any]]:
    for index in range(len(split)):
        example = split.example(index)
        ids, weights = example.ids, example.weights
        group = GROUP_CONDITIONS.index(example.condition)
        row: dict[str, Any] = {
            "total_length": len(ids),
            "num_seqs": 1,
            "total_loss_weight": group_weights[group],
        }
        for each in range(len(GROUP_CONDITIONS)):
            row[f"{each}_tokens"] = ids if each == group else []
            row[f"{each}_masks"] = weights != 0 if each == group else []
        yield row
