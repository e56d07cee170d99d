"""Ids to text, as they arrive: never half a character, never the format's own space."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence


class StreamDecoder:
    """Turns a stream of token ids into text, piece by piece.

    The concatenation of everything `push` and `finish` return depends on the ids alone, not on
    how they were cut. Control tokens have no text. Bytes that are no UTF-8 become U+FFFD, but
    only once it is certain that no later token completes them.
    """

    def __init__(self, token_bytes: Sequence[bytes | None], *, strip_leading_space: bool) -> None:
        """Takes the bytes of every id and whether the first space belongs to the format."""
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strip = strip_leading_space

    def push(self, ids: Iterable[int]) -> str:
        """Returns the text that has become certain with these ids; it may be empty."""
        table = self._token_bytes
        size = len(table)
        # Padded embedding tables can produce ids past the vocabulary; they have no text.
        data = b"".join(table[i] or b"" for i in ids if 0 <= i < size)
        return self._trimmed(self._decoder.decode(data))

    def finish(self) -> str:
        """Returns what was held back, ending a broken character with U+FFFD."""
        return self._trimmed(self._decoder.decode(b"", final=True))

    def _trimmed(self, text: str) -> str:
        if text and self._strip:
            self._strip = False
            return text.removeprefix(" ")
        return text
