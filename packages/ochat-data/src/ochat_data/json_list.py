"""Cuts a JSON list into its elements as it is read, so that a dump of any size needs no memory.

Finds where elements end and parses nothing; an element that is no JSON is found by who parses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

_BLOCK = 1 << 20
_STRUCTURE = re.compile(rb'["\[\]{},]')
_STRING_END = re.compile(rb'["\\]')


class ListTruncatedError(Exception):
    """The stream ends within the list; `rest` is what came of the last element."""

    def __init__(self, rest: bytes, offset: int) -> None:
        """Keeps the unfinished element and where it begins."""
        super().__init__("the file ends in the middle of its list")
        self.rest = rest
        self.offset = offset


def list_elements(head: bytes, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yields the bytes of each element of a list, with its offset from the list's bracket.

    Args:
        head: What has been read already; begins with the bracket.
        stream: The rest.

    Raises:
        ListTruncatedError: There is no closing bracket.
    """
    cutter = _Cutter()
    block = head
    while block:
        yield from cutter.feed(block)
        if cutter.ended:
            after = (
                block[cutter.element_offset - cutter.blocks_before :] + stream.read(_BLOCK)
            ).strip()
            if after:  # a second document: nothing of it is known to belong to the list
                yield cutter.element_offset, after
            return
        block = stream.read(_BLOCK)
    raise ListTruncatedError(bytes(cutter.element).strip(), cutter.element_offset)


class _Cutter:
    """Where in the nesting of a JSON text the stream is."""

    def __init__(self) -> None:
        self.element = bytearray()
        self.element_offset = 1
        self.ended = False
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.blocks_before = 0

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        begin = place = 0
        while (hit := self._next(block, place)) is not None:
            place = hit + 1
            byte = block[hit : hit + 1]
            if byte in b"[{":
                self._depth += 1
                if self._depth == 1:
                    begin = place
            elif byte in b"]}":
                self._depth -= 1
            if self._depth == 0 or (self._depth == 1 and byte == b","):
                self.element += block[begin:hit]
                begin = place
                if text := bytes(self.element).strip():
                    yield self.element_offset, text
                self.element.clear()
                self.element_offset = self.blocks_before + place
                if self._depth == 0:
                    self.ended = True
                    return
        self.element += block[begin:]
        self.blocks_before += len(block)

    def _next(self, block: bytes, place: int) -> int | None:
        """The next bracket, brace or comma that is not part of a string."""
        while place < len(block):
            if self._escaped:
                self._escaped = False
                place += 1
            elif self._in_string:
                found = _STRING_END.search(block, place)
                if found is None:
                    return None
                place = found.end()
                self._escaped = found[0] == b"\\"
                self._in_string = self._escaped
            else:
                found = _STRUCTURE.search(block, place)
                if found is None:
                    return None
                if found[0] != b'"':
                    return found.start()
                self._in_string = True
                place = found.end()
        return None
