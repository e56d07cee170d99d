"""How often a source's records enter a mixture: by weight, or up to a number of tokens.

Decided by a hash of each record's id, so that neither order nor workers matter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from .errors import InputError


def hash_share(record_id: str, seed: int) -> float:
    """A number from 0 up to 1, the same for a record and seed everywhere."""
    key = f"{seed}:{record_id}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2**64


def copies_by_weight(record_id: str, weight: float, seed: int) -> int:
    """How often a record enters: the whole part of `weight`, and once more by chance.

    Raises:
        InputError: The weight is negative or no number.
    """
    if not 0 <= weight < math.inf:
        raise InputError(f"the weight of a source must be from 0 up, not {weight}")
    whole = math.floor(weight)
    return whole + (hash_share(record_id, seed) < weight - whole)


def copies_by_tokens(
    ids: Sequence[str], lengths: Sequence[int], tokens: int, seed: int
) -> list[int]:
    """How often each record enters so that together they have about `tokens` tokens.

    All of them as often as they fit whole; the rest is filled in the order of their hashes, up to
    and including the record that reaches the number.

    Raises:
        InputError: There is nothing to take tokens from.
    """
    total = sum(lengths)
    if tokens < 0 or (tokens and not total):
        raise InputError(f"cannot take {tokens} tokens from a source of {total}")
    whole, rest = divmod(tokens, total) if total else (0, 0)
    copies = [whole] * len(ids)
    order = sorted(range(len(ids)), key=lambda index: (hash_share(ids[index], seed), ids[index]))
    for index in order:
        if rest <= 0:
            break
        copies[index] += 1
        rest -= lengths[index]
    return copies


def copy_id(record_id: str, copy: int) -> str:
    """The id of a further copy of a record, or of a further part of it: never the same twice."""
    if copy == 0:
        return record_id
    return hashlib.blake2b(f"{record_id}:{copy}".encode(), digest_size=16).hexdigest()
