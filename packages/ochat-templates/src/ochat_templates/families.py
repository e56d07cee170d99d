"""The published vocabularies that are known by their ids, with texts that tell a drifted copy.

A tokenizer is recognised by its pieces, which drift leaves alone, and not by its file's name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A published vocabulary.

    Attributes:
        name: As templates name it under `[probes]`.
        title: As people name it.
        pieces: The text of some ids; together no other vocabulary has them.
        probes: Texts with the ids that the published tokenizer gives each of them alone.
    """

    name: str
    title: str
    pieces: Mapping[int, bytes]
    probes: Mapping[str, tuple[int, ...]]


@cache
def families() -> tuple[Family, ...]:
    """The families that this package knows."""
    text = (resources.files("ochat_templates") / "families.toml").read_text(encoding="utf-8")
    return tuple(
        Family(
            name=name,
            title=table["title"],
            pieces={int(token_id): piece.encode() for token_id, piece in table["pieces"].items()},
            probes={text: tuple(ids) for text, ids in table["probes"].items()},
        )
        for name, table in tomllib.loads(text).items()
    )


def recognise(token_bytes: Sequence[bytes | None]) -> Family | None:
    """The family whose pieces a vocabulary has; None for one that is not known."""
    size = len(token_bytes)
    for family in families():
        if all(i < size and token_bytes[i] == piece for i, piece in family.pieces.items()):
            return family
    return None
