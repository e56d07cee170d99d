"""The steps that need to see one record at a time, in the order in which they are done.

A command and a pipeline call the same functions here, so that they cannot differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .cleaning import CleanOptions, clean_conversation, plain_line_ends
from .column_map import ColumnMap
from .errors import LabelError, RecordError
from .formats import convert_item
from .labelling import LabelMap, label_record
from .record import Record

if TYPE_CHECKING:
    from .decontamination import Benchmark
    from .filtering import RecordFilter
    from .reading import RawItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A step's answer for a record that is in order but not wanted."""

    reason: str


RecordStep = Callable[[Record], Record | Dropped]


def import_item(
    item: RawItem,
    *,
    format_name: str = "auto",
    columns: Mapping[str, str] | None = None,
    model: str = "",
) -> list[Record]:
    """The records of a raw item; `model` is for those that do not say who answered.

    Raises:
        RecordError: The item is no JSON, or a field of it is wrong.
    """
    if columns:
        if item.problem:
            raise RecordError(item.problem)
        records = ColumnMap(columns).convert(item.value, source=item.source)
    else:
        records = convert_item(item, format_name=format_name)
    return [_answered_by(record, model) for record in records]


def clean_step(options: CleanOptions, repairs: Counter[str]) -> RecordStep:
    """Repairs a record and counts the repairs; of a document only the line ends."""

    def step(record: Record) -> Record | Dropped:
        if record.is_document:
            text = plain_line_ends(record.text)
            return replace(record, text=text) if text.strip() else Dropped(reason="empty document")
        result = clean_conversation(record.conversation, options)
        if result.conversation is None:
            return Dropped(reason=result.reason)
        repairs.update(result.repairs)
        return replace(record, conversation=result.conversation)

    return step


def filter_step(wanted: RecordFilter) -> RecordStep:
    """Leaves out what is not wanted, and notes the language where it was looked for."""

    def step(record: Record) -> Record | Dropped:
        record, reason = wanted.check(record)
        return Dropped(reason=reason) if reason else record

    return step


def decontaminate_step(benchmark: Benchmark) -> RecordStep:
    """Leaves out what holds a question of a benchmark."""

    def step(record: Record) -> Record | Dropped:
        return Dropped(reason="benchmark question") if benchmark.holds(record) else record

    return step


def label_step(labels: LabelMap, unmatched: str) -> RecordStep:
    """Gives condition and weights; what no entry matches is an error, dropped or kept."""

    def step(record: Record) -> Record | Dropped:
        labelled = record if record.is_document else label_record(record, labels)
        if labelled is not None:
            return labelled
        if unmatched == "keep":
            return record
        if unmatched == "drop":
            return Dropped(reason="no condition for its model")
        raise LabelError(
            f"no condition for the model {record.model!r} (record {record.id} of "
            f"{record.source or 'unknown origin'}); map {record.model or '*'!r} to one, or choose "
            "'drop' or 'keep' for unmatched models"
        )

    return step


def _answered_by(record: Record, model: str) -> Record:
    if not model or record.model or record.is_document:
        return record
    return Record.create(record.conversation, model=model, source=record.source)
