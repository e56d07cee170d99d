"""Cuts sources into chunks of about the same size, which any worker can read for itself.

JSON Lines are read where they lie, by range. All other files (compressed, lists, pages, Parquet,
text) are written out once as chunks of raw items.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from ochat_data.errors import InputError
from ochat_data.progress import Progress
from ochat_data.reading import (
    RawItem,
    expand_folders,
    file_digest,
    is_plain_lines,
    line_item,
    read_items,
    require_readable,
)

from .work_folder import WorkFolder, with_name

if TYPE_CHECKING:
    from .recipe import Recipe

CHUNK_BYTES = 8 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A run of raw items of one source.

    Attributes:
        index: Its place among all chunks.
        source: The place of its source in the recipe.
        file: The file as the recipe names it; empty for a chunk that was written out.
        start: First byte in the file; 0 for a chunk that was written out.
        end: The byte after the last; 0 for a chunk that was written out.
        line: Number of the first line, from 1.
        spooled: Name of the written-out chunk in the work folder; empty for a range of lines.
    """

    index: int
    source: int
    file: str = ""
    start: int = 0
    end: int = 0
    line: int = 1
    spooled: str = ""

    def to_json(self) -> dict[str, object]:
        """The fields as JSON."""
        return asdict(self)

    def items(self, work: Path) -> Iterator[RawItem]:
        """The raw items of the chunk."""
        if self.spooled:
            yield from _spooled_items(work / self.spooled)
            return
        with Path(self.file).open("rb") as stream:
            stream.seek(self.start)
            offset, number = self.start, self.line
            while offset < self.end:
                line = stream.readline()
                text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                if text.strip():
                    yield line_item(self.file, number, text, offset)
                offset += len(line)
                number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file of a source, with the SHA-256 of its bytes."""

    source: int
    file: str
    sha256: str


def input_files(recipe: Recipe) -> list[InputFile]:
    """All files of a recipe with their digests, in order.

    Raises:
        InputError: One is missing or is read twice.
    """
    named: list[tuple[int, str]] = []
    for index, source in enumerate(recipe.sources):
        require_readable(source.files)
        named += [(index, file) for file in expand_folders(source.files)]
    for name, times in Counter(file for _, file in named).items():
        if times > 1:
            raise InputError(f"{name} is given twice; give it once, with a 'weight' of 2")
    sizes = [Path(file).stat().st_size for _, file in named if Path(file).is_file()]
    progress = Progress("check", total=sum(sizes) >> 20, unit="MiB")
    bytes_read = 0

    def tell(size: int) -> None:
        nonlocal bytes_read
        bytes_read += size
        progress.update(bytes_read >> 20)

    found = [InputFile(source=i, file=file, sha256=file_digest(file, tell)) for i, file in named]
    progress.clear()
    return found


def cut_chunks(recipe: Recipe, files: list[InputFile], work: WorkFolder) -> list[Chunk]:
    """The chunks of all files; the same at every run."""
    chunks: list[Chunk] = []
    waiting: list[InputFile] = []

    def spool_waiting() -> None:
        if waiting:
            as_text = recipe.sources[waiting[0].source].format == "text"
            names = _spool([each.file for each in waiting], len(chunks), work, text=as_text)
            for name in names:
                chunks.append(Chunk(index=len(chunks), source=waiting[0].source, spooled=name))
            waiting.clear()

    for each in files:
        if waiting and waiting[0].source != each.source:
            spool_waiting()
        if recipe.sources[each.source].format == "text" or not is_plain_lines(each.file):
            waiting.append(each)
            continue
        spool_waiting()
        for start, end, line in _line_ranges(Path(each.file)):
            chunks.append(
                Chunk(
                    index=len(chunks),
                    source=each.source,
                    file=each.file,
                    start=start,
                    end=end,
                    line=line,
                )
            )
    spool_waiting()
    return chunks


def _line_ranges(path: Path) -> Iterator[tuple[int, int, int]]:
    """Ranges of whole lines: first byte, byte after the last, number of the first line."""
    size = path.stat().st_size
    start, line = 0, 1
    with path.open("rb") as stream:
        while start < size:
            block = stream.read(CHUNK_BYTES) + stream.readline()
            yield start, start + len(block), line
            start += len(block)
            line += block.count(b"\n")


def _spool(files: list[str], number: int, work: WorkFolder, *, text: bool) -> list[str]:
    """Writes the items of files out in chunks, unless that was finished before."""
    done = work.summary(f"spool-{number:05d}")
    if done is not None:
        return list(cast("list[str]", done["names"]))
    names: list[str] = []
    lines: list[bytes] = []
    size = 0

    def end_chunk() -> None:
        names.append(f"spool-{number:05d}-{len(names):05d}.jsonl")
        with_name(work.path / names[-1], b"".join(lines))
        lines.clear()

    progress = Progress("unpack")
    for count, item in enumerate(read_items(files, text=text), start=1):
        progress.update(count)
        lines.append(_spooled_line(item))
        size += len(lines[-1])
        if size >= CHUNK_BYTES:
            end_chunk()
            size = 0
    if lines:
        end_chunk()
    progress.clear()
    work.finish(f"spool-{number:05d}", {"names": names})
    return names


def _spooled_line(item: RawItem) -> bytes:
    raw = item.raw_text() if item.problem else ""
    value = None if item.problem else item.value
    entry = [item.file, item.where, item.kind, item.offset, item.problem, raw, value]
    return orjson.dumps(entry, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _spooled_items(path: Path) -> Iterator[RawItem]:
    with path.open("rb") as stream:
        for entry in stream:
            file, where, kind, offset, problem, raw, value = cast("list[Any]", orjson.loads(entry))
            yield RawItem(
                file=file,
                where=where,
                value=value,
                kind=cast("Literal['json', 'page', 'text']", kind),
                problem=problem,
                line=raw.encode("utf-8", "surrogatepass") if problem else None,
                offset=offset,
            )


def work_key(digest: str) -> str:
    """What tells finished pieces from any others: also the size that the inputs were cut by."""
    return f"{digest[:16]}-{CHUNK_BYTES}"


def plan_digest(recipe_text: str, files: list[InputFile]) -> str:
    """What tells this work from any other: the recipe, and the bytes of its inputs."""
    digest = hashlib.sha256(recipe_text.encode())
    for each in files:
        digest.update(f"\n{each.source} {Path(each.file).name} {each.sha256}".encode())
    return digest.hexdigest()
