"""Reads raw files item by item: a JSON list, or JSON Lines, plain or gzipped, or standard input.

What an item means is `formats`' business. A line that is no JSON becomes an item with a problem,
so that one bad line never costs the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from .errors import InputError

STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawItem:
    """One entry of a raw file, before anybody knows what it means.

    Attributes:
        file: The file as it was named.
        where: `line 3` (counted from 1) or `index 3` (counted from 0).
        value: The parsed JSON; None where there is a problem.
        problem: Why it could not be parsed; empty where it could.
        line: The bytes of the line; None for an element of a list.
    """

    file: str
    where: str
    value: object
    problem: str = ""
    line: bytes | None = None

    @property
    def source(self) -> str:
        """The file's name without its folder."""
        return "stdin" if self.file == STDIN else plain_name(self.file)

    def raw_text(self) -> str:
        """The item as text, for a person who looks for what is wrong with it."""
        if self.line is not None:
            return self.line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        try:
            return json.dumps(self.value)
        except RecursionError:
            return "(nested too deeply to show)"


def read_items(files: Sequence[str]) -> Iterator[RawItem]:
    """Yields the items of all files, in order.

    Raises:
        InputError: A file is missing or unreadable as a whole.
    """
    require_readable(files)
    for file in files:
        try:
            with _open(file) as stream:
                yield from _items(file, stream)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read {file}: {_reason(error)}") from error


def require_readable(files: Sequence[str]) -> None:
    """Refuses files that are missing, before any work is done."""
    for file in files:
        if file != STDIN and (Path(file).is_dir() or not Path(file).exists()):
            problem = "is a folder, not a file" if Path(file).is_dir() else "does not exist"
            raise InputError(f"{file} {problem}; check the path")


def plain_name(file: str) -> str:
    r"""A file's name without its folder; a byte that is no UTF-8 becomes text such as `\xff`."""
    return Path(file).name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def file_digest(file: str) -> str:
    """SHA-256 of a file's bytes in hexadecimal; empty for a pipe, which is read only once."""
    if file == STDIN or not Path(file).is_file():
        return ""
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _open(file: str) -> Generator[BinaryIO]:
    with ExitStack() as stack:
        # Standard input is not ours to close.
        raw = sys.stdin.buffer if file == STDIN else stack.enter_context(Path(file).open("rb"))
        stream = io.BufferedReader(cast("io.RawIOBase", raw))
        stack.callback(stream.detach)
        if stream.peek(2)[:2] == _GZIP_MAGIC:
            yield cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=stream)))
        else:
            yield stream


def _items(file: str, stream: BinaryIO) -> Iterator[RawItem]:
    first = True
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if not text.strip():
            continue
        # The first character decides: a list is one document, anything else is line by line.
        if first and text.lstrip().startswith(b"["):
            yield from _list_items(file, text + stream.read())
            return
        first = False
        yield _line_item(file, number, text)


def _line_item(file: str, number: int, line: bytes) -> RawItem:
    where = f"line {number}"
    try:
        return RawItem(file=file, where=where, value=orjson.loads(line), line=line)
    except orjson.JSONDecodeError as error:
        problem = f"not JSON: {error}"
        return RawItem(file=file, where=where, value=None, problem=problem, line=line)


def _list_items(file: str, document: bytes) -> Iterator[RawItem]:
    try:
        values: object = orjson.loads(document)
    except orjson.JSONDecodeError:
        # The standard parser lets a lone surrogate through, which then costs one item, not all.
        try:
            values = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is not a JSON list: {_reason(error)}") from error
    for index, value in enumerate(cast("list[object]", values)):
        yield RawItem(file=file, where=f"index {index}", value=value)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
