"""Reads a file of rejected records: what was wrong with them, and whether they can be read now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from .errors import InputError, RecordError
from .outputs import WholeFile
from .reading import RawItem

if TYPE_CHECKING:
    from .record import Record

_LONGEST_RAW = 200
# Where in a record an error is, which differs between errors of one kind.
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Reject:
    """One entry of the file, and the line that it stands on."""

    file: str
    where: str
    offset: int | None
    stage: str
    reason: str
    raw: str
    line: bytes

    def item(self) -> RawItem:
        """The raw item again, parsed anew."""
        data = self.raw.encode("utf-8", "surrogatepass")
        try:
            value: object = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            return RawItem(
                file=self.file,
                where=self.where,
                value=None,
                problem=f"not JSON: {error}",
                line=data,
                offset=self.offset,
            )
        return RawItem(file=self.file, where=self.where, value=value, line=data, offset=self.offset)


def read_rejects(file: str) -> Iterator[Reject]:
    """Yields the entries of a file.

    Raises:
        InputError: The file is missing, or is no file of rejects.
    """
    try:
        with Path(file).open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    entry = orjson.loads(line)
                    yield Reject(
                        file=str(entry["file"]),
                        where=str(entry["where"]),
                        offset=entry.get("offset"),
                        stage=str(entry["stage"]),
                        reason=str(entry["reason"]),
                        raw=str(entry["raw"]),
                        line=line,
                    )
                except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                    raise InputError(
                        f"{file}, line {number} is no rejected record; give the .rejects.jsonl "
                        "file that a command wrote"
                    ) from error
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error


def summary_lines(rejects: Iterator[Reject], *, show: int) -> Iterator[str]:
    """How many for which kind of reason, commonest first, with the first few of each."""
    found: dict[tuple[str, str], list[Reject]] = {}
    counts: dict[tuple[str, str], int] = {}
    reasons: dict[tuple[str, str], str] = {}
    for reject in rejects:
        key = (reject.stage, _NUMBERS.sub("N", reject.reason))
        counts[key] = counts.get(key, 0) + 1
        reasons.setdefault(key, reject.reason)
        if len(found.setdefault(key, [])) < show:
            found[key].append(reject)
    if not counts:
        yield "no rejects"
    for key in sorted(counts, key=lambda key: (-counts[key], key)):
        yield f"{counts[key]} at {key[0]}: {reasons[key]}"
        for reject in found[key]:
            raw = (
                reject.raw if len(reject.raw) <= _LONGEST_RAW else f"{reject.raw[:_LONGEST_RAW]}..."
            )
            yield f"    {reject.file}, {reject.where}: {raw}"


def retry_rejects(
    file: str, output: str, step: Callable[[RawItem], list[Record]]
) -> tuple[int, int]:
    """Imports the entries again; returns how many were tried and how many can be read now.

    What still cannot be read stays in the file, with its new reason.

    Raises:
        InputError: The file is missing or no file of rejects, or nothing could be rescued.
    """
    tried = rescued = 0
    with WholeFile(Path(output)) as good, WholeFile(Path(file)) as bad:
        for reject in read_rejects(file):
            tried += 1
            try:
                records = step(reject.item())
            except RecordError as error:
                entry = orjson.loads(reject.line) | {"reason": str(error)}
                bad.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
                continue
            rescued += 1
            for record in records:
                good.write(record.to_line())
        if not rescued:
            raise InputError(f"none of the {tried} records of {file} can be read; it is unchanged")
    return tried, rescued
