"""Shows what an import would make of files: a few samples, and every kind of error with its place.

Reads all of the files and writes nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .errors import InputError, RecordError
from .reading import RawItem, read_items

if TYPE_CHECKING:
    from .record import Record

_SAMPLES = 3
_KINDS_OF_ERROR = 10
_LONGEST_TEXT = 160
# Where in a record an error is, which differs between errors of one kind.
_NUMBERS = re.compile(r"\d+")


def dry_run(
    files: Sequence[str],
    step: Callable[[RawItem], list[Record]],
    write: Callable[[str], object],
    *,
    text: bool = False,
) -> None:
    """Writes the first converted records, then counts, then the kinds of errors.

    Raises:
        InputError: A file cannot be read, or holds nothing usable.
    """
    read = made = 0
    models: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for item in read_items(files, text=text):
        read += 1
        try:
            records = step(item)
        except RecordError as error:
            kind = _NUMBERS.sub("N", str(error))
            kinds[kind] += 1
            examples.setdefault(kind, f"{item.file}, {item.where}: {error}")
            continue
        for record in records:
            if made < _SAMPLES:
                write(f"--- sample {made + 1}: {item.file}, {item.where}\n{_shown(record)}\n")
            made += 1
            models[record.model or "(unknown)"] += 1
    write(f"--- {read} items: {made} records, {sum(kinds.values())} items cannot be read\n")
    if models:
        listed = ", ".join(f"{name} {count}" for name, count in models.most_common(8))
        write(f"models: {listed}\n")
    for kind, count in kinds.most_common(_KINDS_OF_ERROR):
        write(f"{count} x {examples[kind]}\n")
    if not made:
        raise InputError(f"nothing in {', '.join(files)} can be imported; see above for why")


def _shown(record: Record) -> str:
    """The record as JSON over lines, its long texts shortened."""
    return json.dumps(_shortened(record.to_json()), indent=2, ensure_ascii=False)


def _shortened(value: object) -> object:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}... ({len(value)} characters)"
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return value
