"""Are a text's pieces what merges in the order of their ids make of it?

So Transformers 5 orders the merges that it derives from a tokenizer.model, where SentencePiece
goes by score. Knowing it apart from any other cutting keeps the cause's name honest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from ochat_templates.codec import Codec


def is_ordered_by_id(codec: Codec, ids: Sequence[int]) -> bool:
    """Whether merging by ascending piece id cuts the text of `ids` where they cut it."""
    pieces = [codec.token_bytes[token_id] or b"" for token_id in ids]
    return _merged(b"".join(pieces), _ranks(codec)) == pieces


@lru_cache(maxsize=1)
def _ranks(codec: Codec) -> Mapping[bytes, int]:
    """The id of every text; of a letter and the byte that has the same text, either will do."""
    return {text: index for index, text in enumerate(codec.token_bytes) if text}


def _merged(text: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    parts = _letters(text, ranks)
    while True:
        joined = [left + right for left, right in pairwise(parts)]
        known = [
            (ranks[piece], len(parts[at]), at) for at, piece in enumerate(joined) if piece in ranks
        ]
        if not known:
            return parts
        at = min(known)[2]
        parts[at : at + 2] = [joined[at]]


def _letters(text: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """Characters that are pieces, and the bytes of those that are none."""
    parts: list[bytes] = []
    for character in text.decode(errors="replace"):
        encoded = character.encode()
        parts += [encoded] if encoded in ranks else [bytes([byte]) for byte in encoded]
    return parts
