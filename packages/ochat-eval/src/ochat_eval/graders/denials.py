"""How a response takes back what it names: "not 8", "less than 8", "a mammal? no, fish".

Works on places in the text, whether numbers or options stand there; finding those, and what is
left to commit to, is the graders' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

# Written as the words of a pattern, because the cues' patterns are built from it too.
NEGATION = (
    r"(?:\b(?:not(?!\s+(?:only|just|merely)\b)|cannot|never|neither|nor|hardly|scarcely"
    r"|(?:ai|is|was|are|were|do|does|did|ca|could|wo|would|should|has|have|had)nt)\b|n't\b)"
)
_DENIES = re.compile(
    rf"(?:(?:{NEGATION}|\bunlikely\b|(?<!\bno\s)\bdoubt\b).{{0,40}}|\bno\s+(?:such\s+)?"
    r"|(?:\bthan|\binstead\s+of)\W+(?:\w+\W+)?)$",
    re.IGNORECASE | re.DOTALL,
)
# A denial reaches neither over the end of a clause nor past the first thing it denies.
_CLAUSE_END = re.compile(
    r"[.,;:!?](?=\s|$)|[\n()]"
    r"|\b(?:but|so|yet|hence|thus|therefore|because|since|which)\b",
    re.IGNORECASE,
)
_JOINED = re.compile(r"[^\w.,;:!?\n]*(?:\w+\s+)?(?:\b(?:or|nor|and|to)\b|[-+*/])[^.,;:!?\n]{0,12}")
# "8, not 9" and "8 rather than 9" leave the 8; "2 plus 6 is not 8" leaves nothing.
_CONTRAST = re.compile(r"\W*(?:and\s+)?(?:not|never|rather|instead)\b", re.IGNORECASE)
_ASKED = re.compile(r"[ \t\"')]*(?:\w+[ \t\"')]*)?\?")
_NO = re.compile(r"[\s\"')]*(?:no|nope|not|never|wrong)\b", re.IGNORECASE)
_LOOKBACK = 80


class Place(Protocol):
    """Something found in a text."""

    @property
    def start(self) -> int:
        """Where it begins."""
        ...

    @property
    def end(self) -> int:
        """Where the text goes on."""
        ...


_Found = TypeVar("_Found", bound=Place)


def affirmed(
    text: str, places: Iterable[_Found], begin: int = 0, *, also: re.Pattern[str] | None = None
) -> list[_Found]:
    """The places that the response does not take back, in the order of the text.

    Args:
        text: The cleaned response.
        places: What was found from `begin` on, from left to right.
        begin: Where looking for denials begins.
        also: Another pattern that denies the place which it ends at.
    """
    kept: list[_Found] = []
    in_clause, denied, position = 0, False, begin
    ordered = list(places)
    for place in ordered:
        gap = text[max(position, place.start - _LOOKBACK) : place.start]
        last = max((match.start() for match in _CLAUSE_END.finditer(gap)), default=0)
        if last or _CLAUSE_END.match(gap):
            in_clause, denied = 0, False
        denied = _is_denied(gap[last:], also) or (denied and _JOINED.fullmatch(gap) is not None)
        if denied and not _CONTRAST.match(gap):
            del kept[len(kept) - in_clause :]
            in_clause = 0
        elif not denied and not _is_asked(text, place, follows=place is not ordered[-1]):
            kept.append(place)
            in_clause += 1
        position = place.end
    return kept


def _is_denied(clause: str, also: re.Pattern[str] | None) -> bool:
    return bool(_DENIES.search(clause) or (also and also.search(clause)))


def _is_asked(text: str, place: Place, *, follows: bool) -> bool:
    """Whether a question mark follows, and then a no or something else that was found."""
    asked = _ASKED.match(text, place.end)
    return asked is not None and (follows or _NO.match(text, asked.end()) is not None)
