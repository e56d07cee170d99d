"""Finds records that say the same: exactly (but for case and spaces), or nearly (MinHash).

Of each group of equals the first in the order of the input is kept. Nearly equal means that the
sets of five-word runs of two records overlap: MinHash estimates the Jaccard similarity of the sets
(Broder 1997), and bands of the signature say which pairs to compare at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .record import Record

DEDUPLICATIONS = ("exact", "near")
_PERMUTATIONS = 128
# Bands of 4 rows: pairs alike by 0.5 are found with probability 0.87, by 0.8 practically always.
_ROWS = 4
_WORDS_A_RUN = 5
_WORD = re.compile(r"\w+|[^\w\s]+")
# The Mersenne prime 2^61 - 1; a * x + b with 32-bit x and 29-bit a stays below 2^64.
_PRIME = np.uint64((1 << 61) - 1)
_DRAWS = np.random.default_rng(20231117)
_FACTORS = _DRAWS.integers(1, 1 << 29, size=(_PERMUTATIONS, 1), dtype=np.uint64)
_SHIFTS = _DRAWS.integers(0, 1 << 60, size=(_PERMUTATIONS, 1), dtype=np.uint64)
_BLOCK = 4096
_HALVES = np.dtype(np.uint64)
_MOST_RECENT = 1 << 18
_MOST_PARTNERS = 8


def exact_digest(record: Record) -> bytes:
    """16 bytes that are equal for records that differ only in case and spaces.

    Roles, the system text and every message count; model, condition and origin do not.
    """
    digest = hashlib.blake2b(digest_size=16)
    conversation = record.conversation
    texts = [("system", conversation.system), ("text", record.text)]
    texts += [(message.role, message.content) for message in conversation.messages]
    for role, text in texts:
        # Neither a role nor a normalised text holds a line break.
        digest.update(f"{role}\n{' '.join(text.split()).casefold()}\n".encode())
    return digest.digest()


def minhash(record: Record) -> NDArray[np.uint32]:
    """The signature of a record, uint32 `(128,)`, over runs of five words of all its messages."""
    text = "\n".join(message.content for message in record.conversation.messages) or record.text
    words = _WORD.findall(text.casefold())
    count = max(1, len(words) - _WORDS_A_RUN + 1)
    runs = {" ".join(words[start : start + _WORDS_A_RUN]) for start in range(count)}
    hashes = np.fromiter(
        (int.from_bytes(hashlib.blake2b(run.encode(), digest_size=4).digest()) for run in runs),
        dtype=np.uint64,
        count=len(runs),
    )
    lowest = np.full((_PERMUTATIONS,), np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(hashes), _BLOCK):
        permuted = (_FACTORS * hashes[start : start + _BLOCK] + _SHIFTS) % _PRIME
        mixed = (permuted & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        lowest = np.minimum(lowest, mixed.min(axis=1))
    return lowest


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Records that say the same, by their places in the input; the first is kept."""

    kept: int
    dropped: tuple[int, ...]
    similarity: float


class ExactDuplicates:
    """Tells whether a digest was seen before; holds some 24 bytes of each.

    The latest lie in a dictionary. When they are many they join the others, three sorted arrays
    that take an eighth of a dictionary's room: millions of records must not fill the memory.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self._recent: dict[bytes, int] = {}
        self._heads = np.empty(0, dtype=np.uint64)
        self._tails = np.empty(0, dtype=np.uint64)
        self._places = np.empty(0, dtype=np.uint64)

    def first_of(self, digest: bytes, place: int) -> int | None:
        """The place at which the digest of 16 bytes was seen first; None if it is new."""
        first = self._settled(digest)
        if first is None:
            first = self._recent.setdefault(digest, place)
            if len(self._recent) >= _MOST_RECENT:
                self._settle()
        return None if first == place else first

    def _settled(self, digest: bytes) -> int | None:
        if not len(self._heads):
            return None
        head, tail = np.frombuffer(digest, dtype=_HALVES)
        at = int(np.searchsorted(self._heads, head))
        while at < len(self._heads) and self._heads[at] == head:
            if self._tails[at] == tail:
                return int(self._places[at])
            at += 1
        return None

    def _settle(self) -> None:
        halves = np.frombuffer(b"".join(self._recent), dtype=_HALVES).reshape(-1, 2)
        order = np.argsort(halves[:, 0], kind="stable")
        at = np.searchsorted(self._heads, halves[order, 0])
        places = np.fromiter(self._recent.values(), dtype=np.uint64, count=len(self._recent))
        self._heads = np.insert(self._heads, at, halves[order, 0])
        self._tails = np.insert(self._tails, at, halves[order, 1])
        self._places = np.insert(self._places, at, places[order])
        self._recent.clear()


def exact_groups(digests: Iterable[bytes]) -> list[DuplicateGroup]:
    """The groups of equal digests, in order of their first records."""
    seen = ExactDuplicates()
    dropped: dict[int, list[int]] = {}
    for place, digest in enumerate(digests):
        first = seen.first_of(digest, place)
        if first is not None:
            dropped.setdefault(first, []).append(place)
    return [
        DuplicateGroup(kept=kept, dropped=tuple(others), similarity=1.0)
        for kept, others in sorted(dropped.items())
    ]


def near_groups(signatures: NDArray[np.uint32], threshold: float) -> list[DuplicateGroup]:
    """Groups of records whose signatures agree in at least a share `threshold` of their places.

    A record is compared with the kept record of each group it may belong to, so that a chain of
    small changes does not join what is not alike.

    Args:
        signatures: uint32 `(records, 128)`, in the order of the input.
        threshold: The least estimated Jaccard similarity, above 0 and at most 1.
    """
    partners = _candidates(signatures)
    kept_of = np.arange(len(signatures))
    similarity: dict[int, float] = {}
    groups: dict[int, list[int]] = {}
    for place in sorted(partners):
        best, alike = -1, threshold
        for other in sorted(partners[place]):
            if kept_of[other] != other:
                continue
            share = float((signatures[place] == signatures[other]).mean())
            if share >= alike and (best < 0 or share > alike):
                best, alike = other, share
        if best >= 0:
            kept_of[place] = best
            groups.setdefault(best, []).append(place)
            similarity[best] = min(similarity.get(best, 1.0), alike)
    return [
        DuplicateGroup(kept=kept, dropped=tuple(places), similarity=round(similarity[kept], 4))
        for kept, places in sorted(groups.items())
    ]


def _candidates(signatures: NDArray[np.uint32]) -> dict[int, set[int]]:
    """For each record the earlier ones that share a band with it.

    Of a bucket only the first few are remembered: what is equal to none of them is compared with
    the kept ones of its other bands, and a bucket of thousands cannot cost thousands squared.
    """
    partners: dict[int, set[int]] = {}
    for band in range(0, signatures.shape[1], _ROWS):
        rows = np.ascontiguousarray(signatures[:, band : band + _ROWS])
        keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * _ROWS))).ravel()
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sizes = np.diff(np.r_[starts, len(order)])
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
            bucket = order[start : start + size].tolist()
            for index, place in enumerate(bucket[1:], start=1):
                partners.setdefault(place, set()).update(bucket[: min(index, _MOST_PARTNERS)])
    return partners


def dropped_places(groups: Sequence[DuplicateGroup]) -> set[int]:
    """The places of all records that are not kept."""
    return {place for group in groups for place in group.dropped}
