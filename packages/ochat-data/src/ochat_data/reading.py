"""Reads raw files item by item: JSON lists and lines, Parquet rows, web pages, plain text.

What an item means is `formats`' business. A line that is no JSON becomes an item with a problem,
so that one bad line never costs the file. Files may be compressed with gzip or zstd.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import orjson

from .errors import InputError
from .hub import hub_rows, is_hub_address, saved_dataset, saved_files
from .json_list import ListTruncatedError, list_elements

STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PARQUET_MAGIC = b"PAR1"
# An object over many lines has to fit in memory; nobody writes a larger one by hand.
_LARGEST_OBJECT = 1 << 26
_BLOCK = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<?xml")
_TEXT_SUFFIXES = (".txt", ".md", ".text")
_SUFFIXES = (*_TEXT_SUFFIXES, ".json", ".jsonl", ".ndjson", ".parquet", ".html", ".htm")
_PACKED = (".gz", ".zst")
_HUB_NAME = re.compile(r"[\w-]+/[\w.-]+")

ItemKind = Literal["json", "page", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawItem:
    """One entry of a raw file, before anybody knows what it means.

    Attributes:
        file: The file as it was named.
        where: `line 3` (counted from 1), `index 3` or `row 3` (counted from 0), or `file`.
        value: The parsed JSON; text of a page or document; None where there is a problem.
        kind: What `value` is.
        problem: Why it could not be parsed; empty where it could.
        line: The bytes of the line; None for what was no text.
        offset: Where it begins in the decompressed file, in bytes; None where that means nothing.
    """

    file: str
    where: str
    value: object
    kind: ItemKind = "json"
    problem: str = ""
    line: bytes | None = None
    offset: int | None = None

    @property
    def source(self) -> str:
        """The file's name without its folder."""
        return "stdin" if self.file == STDIN else plain_name(self.file)

    def raw_text(self) -> str:
        """The item as text, for a person who looks for what is wrong with it."""
        if self.line is not None:
            return self.line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if isinstance(self.value, str) and self.kind != "json":
            return self.value
        try:
            return json.dumps(self.value, default=str)
        except RecursionError:
            return "(nested too deeply to show)"


def read_items(files: Sequence[str], *, text: bool = False) -> Iterator[RawItem]:
    """Yields the items of all files, in order.

    Args:
        files: Files; a folder stands for the files in it whose names end like data.
        text: Every file is one plain document, whatever it looks like.

    Raises:
        InputError: A file is missing or unreadable as a whole.
    """
    require_readable(files)
    for file in expand_folders(files):
        if is_hub_address(file):
            for index, (split, row) in enumerate(hub_rows(file)):
                yield RawItem(file=file, where=f"{split} row {index}".strip(), value=row)
            continue
        try:
            yield from _file_items(file, as_text=text)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read {file}: {_reason(error)}") from error


def expand_folders(files: Sequence[str]) -> list[str]:
    """The files, and for every folder the data files in it and below it, sorted.

    A folder that Hugging Face's `save_to_disk` made becomes the address of that dataset.

    Raises:
        InputError: A folder holds none.
    """
    found: list[str] = []
    for file in files:
        if file == STDIN or is_hub_address(file) or not Path(file).is_dir():
            found.append(file)
            continue
        if address := saved_dataset(Path(file)):
            found.append(address)
            continue
        inside = sorted(str(path) for path in Path(file).rglob("*") if _is_data(path))
        if not inside:
            raise InputError(
                f"the folder {file} holds no data; expected files such as .jsonl, .json, "
                ".parquet, .html or .txt, also .gz and .zst"
            )
        found += inside
    return found


def require_readable(files: Sequence[str]) -> None:
    """Refuses files that are missing, before any work is done."""
    for file in files:
        if file != STDIN and not is_hub_address(file) and not Path(file).exists():
            raise InputError(f"{file} does not exist; check the path{_hub_hint(file)}")


def _hub_hint(file: str) -> str:
    """What to write for what looks like the name of a dataset on the hub."""
    if not _HUB_NAME.fullmatch(file) or file.endswith((*_SUFFIXES, *_PACKED)):
        return ""
    return f", or write hf://{file} for the dataset of that name on the hub"


def plain_name(file: str) -> str:
    r"""A file's name without its folder; a byte that is no UTF-8 becomes text such as `\xff`."""
    return Path(file).name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def file_digest(file: str, tell: Callable[[int], object] = lambda _: None) -> str:
    """SHA-256 of a file's bytes in hexadecimal; empty for what is read only once, or far away.

    Args:
        file: The file, or the address of a saved dataset.
        tell: Is told of every block how many bytes it has.
    """
    if saved := saved_files(file):
        digests = "".join(file_digest(str(each), tell) for each in saved)
        return hashlib.sha256(digests.encode()).hexdigest()
    if file == STDIN or not Path(file).is_file():
        return ""
    digest = hashlib.sha256()
    with Path(file).open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            tell(len(block))
    return digest.hexdigest()


def line_item(file: str, number: int, line: bytes, offset: int) -> RawItem:
    """The item of one line, whose number counts from 1."""
    return _json_item(file, f"line {number}", line, offset)


def is_plain_lines(file: str) -> bool:
    """Whether a file is JSON Lines without compression, of which any range can be read."""
    if file == STDIN or not Path(file).is_file():
        return False
    try:
        with Path(file).open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise InputError(f"cannot read {file}: {_reason(error)}") from error
    packed = start.startswith((_GZIP_MAGIC, _ZSTD_MAGIC, _PARQUET_MAGIC))
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if packed or not text.startswith(b"{") or _is_text_name(file):
        return False
    return _is_json(text.splitlines()[0]) or len(text.splitlines()) == 1


def _is_data(path: Path) -> bool:
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return path.is_file() and name.endswith(_SUFFIXES) and not name.startswith(".")


def _is_text_name(file: str) -> bool:
    name = file.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return name.endswith(_TEXT_SUFFIXES)


def _file_items(file: str, *, as_text: bool) -> Iterator[RawItem]:
    with _open(file) as stream:
        start = stream.peek(len(_PARQUET_MAGIC))[: len(_PARQUET_MAGIC)]
        if start == _PARQUET_MAGIC and file != STDIN:
            yield from _parquet_items(file)
        elif as_text or _is_text_name(file):
            yield _text_item(file, "text", stream.read())
        else:
            yield from _items(file, stream)


@contextmanager
def _open(file: str) -> Generator[io.BufferedReader[Any]]:
    with ExitStack() as stack:
        # Standard input is not ours to close.
        raw = sys.stdin.buffer if file == STDIN else stack.enter_context(Path(file).open("rb"))
        stream = io.BufferedReader(cast("io.RawIOBase", raw))
        stack.callback(_release, stream)
        start = stream.peek(4)[:4]
        if start[:2] == _GZIP_MAGIC:
            unpacked = stack.enter_context(gzip.GzipFile(fileobj=stream))
            yield io.BufferedReader(cast("io.RawIOBase", unpacked))
        elif start == _ZSTD_MAGIC:
            import pyarrow as pa

            unpacked = stack.enter_context(pa.CompressedInputStream(stream, "zstd"))
            yield io.BufferedReader(cast("io.RawIOBase", unpacked), 1 << 20)
        else:
            yield stream


def _release(stream: io.BufferedReader[Any]) -> None:
    """Lets go of what is read from; Arrow's zstd reader has closed it by then."""
    if not stream.closed:
        stream.detach()


def _items(file: str, stream: BinaryIO) -> Iterator[RawItem]:
    offset = 0
    started = False
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if text.strip():
            # The first character decides: a list and a page are one document, else it is lines.
            lead = text.lstrip()
            if not started and lead.startswith(b"["):
                yield from _list_items(file, lead, stream, offset + len(line) - len(lead))
                return
            if not started and lead[:15].lower().startswith(_PAGE_STARTS):
                yield _text_item(file, "page", text + stream.read())
                return
            if not started and lead.startswith(b"{") and not _is_json(lead):
                yield from _whole_or_lines(file, number, text, stream, offset)
                return
            started = True
            yield line_item(file, number, text, offset)
        offset += len(line)


def _whole_or_lines(
    file: str, number: int, first: bytes, stream: BinaryIO, offset: int
) -> Iterator[RawItem]:
    """One object written over many lines; or lines, of which the first is broken."""
    block = first + stream.read(_LARGEST_OBJECT) + stream.readline()
    if _is_json(block):
        yield _json_item(file, "file", block, offset)
        return
    for later, line in enumerate(chain(io.BytesIO(block), stream), start=number):
        if line.strip():
            yield line_item(file, later, line, offset)
        offset += len(line)


def _list_items(file: str, head: bytes, stream: BinaryIO, offset: int) -> Iterator[RawItem]:
    index = 0
    try:
        for place, element in list_elements(head, stream):
            yield _json_item(file, f"index {index}", element, offset + place)
            index += 1
    except ListTruncatedError as error:
        yield RawItem(
            file=file,
            where=f"index {index}",
            value=None,
            problem=f"not JSON: {error}; fetch the file again",
            line=error.rest or None,
            offset=offset + error.offset,
        )


def _json_item(file: str, where: str, text: bytes, offset: int) -> RawItem:
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problem = f"not JSON: {error}"
        return RawItem(
            file=file, where=where, value=None, problem=problem, line=text, offset=offset
        )
    return RawItem(file=file, where=where, value=value, line=text, offset=offset)


def _text_item(file: str, kind: ItemKind, data: bytes) -> RawItem:
    text = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        return RawItem(file=file, where="file", value=text.decode(), kind=kind, line=text, offset=0)
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}; convert the file first"
        return RawItem(file=file, where="file", value=None, problem=problem, line=text, offset=0)


def _parquet_items(file: str) -> Iterator[RawItem]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            row = 0
            for batch in opened.iter_batches(batch_size=512):
                for value in cast("list[Mapping[str, object]]", batch.to_pylist()):
                    yield RawItem(file=file, where=f"row {row}", value=value)
                    row += 1
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {_reason(error)}; fetch it again") from error


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
