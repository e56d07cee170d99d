"""Encoded examples as an Arrow table: the columns of a token dataset, and sums over them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .manifest import Totals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ochat_templates import Encoded

_SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("weight", pa.float32())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("length", pa.int32()),
        ("input_ids", pa.list_(pa.int32())),
        ("spans", pa.list_(_SPAN)),
        ("condition", pa.string()),
        ("source", pa.string()),
    ]
)


class ExampleRows:
    """Examples waiting to be written, as flat columns."""

    def __init__(self) -> None:
        """No examples."""
        self._names: list[str] = []
        self._conditions: list[str] = []
        self._sources: list[str] = []
        self._ids = array("i")
        self._offsets = array("i", [0])
        self._starts = array("i")
        self._ends = array("i")
        self._weights = array("f")
        self._span_offsets = array("i", [0])

    def __len__(self) -> int:
        """The number of examples."""
        return len(self._names)

    def add(self, example_id: str, encoded: Encoded, condition: str, source: str = "") -> None:
        """Appends an example."""
        self._names.append(example_id)
        self._conditions.append(condition)
        self._sources.append(source)
        self._ids += array("i", encoded.ids)  # half the time of extend(), which takes any iterable
        self._offsets.append(len(self._ids))
        for span in encoded.spans:
            self._starts.append(span.start)
            self._ends.append(span.end)
            self._weights.append(span.weight)
        self._span_offsets.append(len(self._starts))

    def to_table(self) -> pa.Table:
        """The examples with `SCHEMA`."""
        offsets = np.frombuffer(self._offsets, dtype=np.int32)
        ids = pa.array(np.asarray(self._ids, dtype=np.int32))
        spans = _spans(
            np.asarray(self._starts, dtype=np.int32),
            np.asarray(self._ends, dtype=np.int32),
            np.asarray(self._weights, dtype=np.float32),
        )
        span_offsets = pa.array(np.asarray(self._span_offsets, dtype=np.int32))
        columns = [
            pa.array(self._names, pa.string()),
            pa.array(np.diff(offsets), pa.int32()),
            pa.ListArray.from_arrays(pa.array(offsets), ids),
            pa.ListArray.from_arrays(span_offsets, spans),
            pa.array(self._conditions, pa.string()),
            pa.array(self._sources, pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


def table_totals(table: pa.Table) -> dict[str, Totals]:
    """Sums over the examples of each condition; the first token of one is never predicted."""
    rows, starts, ends, weights = _flat_spans(table)
    predicted = np.maximum(0, ends - np.maximum(1, starts)).astype(np.int64)
    supervised = np.bincount(rows, weights=predicted * (weights > 0), minlength=len(table))
    loss = np.bincount(rows, weights=predicted * weights.astype(np.float64), minlength=len(table))
    lengths = table["length"].to_numpy()
    conditions = table["condition"].to_numpy(zero_copy_only=False)
    found: dict[str, Totals] = {}
    for condition in sorted(set(conditions.tolist())):
        chosen = conditions == condition
        found[condition] = Totals(
            examples=int(chosen.sum()),
            tokens=int(lengths[chosen].sum()),
            supervised_tokens=int(supervised[chosen].sum()),
            loss_weight=float(loss[chosen].sum()),
        )
    return found


def scale_table(table: pa.Table, factors: Mapping[str, float]) -> pa.Table:
    """The table with every weight times the factor of its example's condition, else 1."""
    if all(factor == 1 for factor in factors.values()):
        return table
    table = table.combine_chunks()
    rows, starts, ends, weights = _flat_spans(table)
    conditions = table["condition"].to_pylist()
    factor_of = np.array([factors.get(name, 1.0) for name in conditions], dtype=np.float64)
    scaled = (weights.astype(np.float64) * factor_of[rows]).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(table)))])
    spans = pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), _spans(starts, ends, scaled)
    )
    return table.set_column(SCHEMA.get_field_index("spans"), SCHEMA.field("spans"), spans)


def supervised_rows(table: pa.Table) -> NDArray[np.bool_]:
    """Which examples have a predicted token with a weight, bool `(examples,)`."""
    rows, starts, ends, weights = _flat_spans(table)
    learnt = (ends > np.maximum(1, starts)) & (weights > 0)
    return np.bincount(rows, weights=learnt, minlength=len(table)) > 0


def _spans(
    starts: NDArray[np.int32], ends: NDArray[np.int32], weights: NDArray[np.float32]
) -> pa.StructArray:
    columns = [pa.array(starts), pa.array(ends), pa.array(weights)]
    return pa.StructArray.from_arrays(columns, fields=list(_SPAN))


def _flat_spans(
    table: pa.Table,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """The row, start, end and weight of every span."""
    spans = table["spans"].combine_chunks()
    counts = np.diff(spans.offsets.to_numpy())
    flat = spans.flatten()
    rows = np.repeat(np.arange(len(table)), counts)
    starts, ends, weights = (flat.field(index).to_numpy() for index in range(3))
    return rows, starts, ends, weights
