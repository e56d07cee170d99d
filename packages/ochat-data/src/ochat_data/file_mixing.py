"""Mixes record files: reads each, takes of it what was asked for, writes one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ochat_templates import ConversationError

from .errors import InputError, RecordError
from .mixing import copies_by_tokens, copies_by_weight, copy_id
from .reading import STDIN, RawItem, read_items
from .record import Record
from .record_steps import Dropped
from .stages import parse_item, run_stage

if TYPE_CHECKING:
    from ochat_templates import Codec


@dataclass(frozen=True, slots=True)
class FileShare:
    """A file and how much of it is wanted: copies a record, or tokens."""

    file: str
    weight: float = 1.0
    tokens: int | None = None

    @classmethod
    def parse(cls, text: str) -> FileShare:
        """Reads `FILE=0.5`, `FILE=2` or `FILE=1000000t`; a file alone is taken once.

        Raises:
            InputError: The amount is none.
        """
        file, separator, amount = text.rpartition("=")
        if not separator:
            return cls(text)
        try:
            if amount.endswith("t"):
                return cls(file, tokens=int(amount[:-1].replace("_", "")))
            weight = float(amount)
        except ValueError:
            weight = -1.0
        if not 0 <= weight < 1e6:
            raise InputError(f"expected FILE=WEIGHT or FILE=TOKENSt, such as a.jsonl=0.5: {text!r}")
        return cls(file, weight)


def mix_files(
    shares: Sequence[FileShare],
    output: str,
    codec: Codec | None,
    *,
    seed: int,
    max_reject_rate: float,
    rejects: str | None = None,
) -> None:
    """Writes the mixture, in the order of the files.

    Raises:
        InputError: A file cannot be read, is given twice, or has no tokens to take.
    """
    files = [share.file for share in shares]
    for file in files:
        if files.count(file) > 1:
            raise InputError(f"{file} is given twice; give it once, with the sum")
    by_tokens = {
        share.file: _copies(share, codec, seed)
        for share in shares
        if share.tokens is not None and codec is not None
    }
    weights = {share.file: share.weight for share in shares}
    places = dict.fromkeys(files, 0)

    def step(item: RawItem) -> list[Record] | Dropped:
        place = places[item.file]
        places[item.file] += 1
        record = Record.from_json(parse_item(item))
        if item.file in by_tokens:
            copies = by_tokens[item.file][place]
        else:
            copies = copies_by_weight(record.id, weights[item.file], seed)
        if not copies:
            return Dropped(reason="not in the mixture")
        return [replace(record, id=copy_id(record.id, copy)) for copy in range(copies)]

    run_stage("mix", files, output, step, max_reject_rate=max_reject_rate, rejects=rejects)


def _copies(share: FileShare, codec: Codec, seed: int) -> list[int]:
    """How often each item of a file enters; an item that cannot be counted has no tokens."""
    if share.file == STDIN:
        raise InputError("tokens of standard input cannot be counted beforehand; give a file")
    ids: list[str] = []
    lengths: list[int] = []
    for item in read_items([share.file]):
        try:
            record = Record.from_json(parse_item(item))
            ids.append(record.id)
            lengths.append(_length(record, codec))
        except (RecordError, ConversationError):
            # The second reading sets it aside with its reason.
            ids[len(lengths) :] = [""]
            lengths.append(0)
    copies = copies_by_tokens(ids, lengths, share.tokens or 0, seed)
    return [max(count, not length) for count, length in zip(copies, lengths, strict=True)]


def _length(record: Record, codec: Codec) -> int:
    if record.is_document:
        return len(codec.encode_text(record.text))
    return codec.count(record.conversation)
