"""Option letters in prose: bracketed or bare, upper or lower case, hedged or rejected.

Knows how a letter is written; which letter a response commits itself to is decided in `choice`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# After a bare letter that is an answer the sentence ends, pauses or gives a reason; after an
# article ("A careful reading") or a pronoun ("I think") it goes on.
_ENDS = r"(?=\s*(?:$|[.,;:!?)\]\n\"']|-\s|(?:because|since|as|for|with|given)\b|\())"
_BRACKETED = r"[(\[]\s*(?:(?:option|choice|answer)\s+)?([A-Za-z])\s*[)\]]"
_FILLER = re.compile(
    r"(?:[\s:=\-\"',>]|\b(?:option|choice|letter|answer|clearly|definitely|probably|likely|most"
    r"|therefore|thus|then|simply|just|indeed|the|that|statement|actually|obviously|certainly"
    r"|evidently|surely|i\s+think|i\s+believe|be|of\s+course|correct|hence|in\s+fact)\b"
    r"|\\(?:text|textbf|mathrm|mathbf)\b)*",
    re.IGNORECASE,
)
_DIRECT = re.compile(
    rf"{_BRACKETED}|([A-Z])(?!\w|'\w|\s*=|-\w)(?P<ends>{_ENDS})?|([a-z])(?!\w){_ENDS}"
)
_ALTERNATIVE = re.compile(
    r"\s*(?P<join>,?\s*(?:\b(?:and/or|or|and)\b|/|&)|,)\s*"
    r"(?:,?\s*\b(?:less\s+likely|possibly|maybe|perhaps|also|even|else|option|choice|answer)\b,?\s*)*"
)
_GOES_ON = re.compile(r"[^\S\n]*(?:is|are|was|were|can|could|would|has|have|does|seems)\b")
_REFERENCE = re.compile(rf"{_BRACKETED}|\b(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s+([A-Z])(?!\w|'\w)")
_REJECTED_AFTER = re.compile(
    r"[\s)\]]*(?:(?:is|are|was|seems|looks|must be|would be)\s+(?:clearly\s+|also\s+|simply\s+)?"
    r"(?:not|wrong|incorrect|false|out\b|eliminated|too\b|irrelevant|impossible)|isn't|can't"
    r"|cannot|does(?:n't| not)|can be (?:ruled|eliminated|excluded))",
    re.IGNORECASE,
)
_REJECTED_BEFORE = re.compile(
    r"(?:\b(?:not|nor|neither|never|rule out|ruling out|eliminate|exclude|reject|unlike|than)|n't)"
    r"[^\w.;:!?\n]+(?:\w+[^\w.;:!?\n]+)?$",
    re.IGNORECASE,
)
_ADVERB = (
    r"so|thus|hence|therefore|then|is|be|evidently|clearly|definitely|obviously|certainly|surely"
    r"|probably|likely|maybe|perhaps|say|think|believe|guess|choose|pick|select|take|with|for|to"
    r"|answer|option|choice|letter|it's|that's|gives|means|namely|but|rather"
)
_FINAL = re.compile(rf"(?:(?i:\b(?:{_ADVERB}))\s*[,:]?|[=:>,-]|^)\s*([A-Z])\s*[.!)]*\s*$")
_NO_ARTICLE = frozenset("AI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Letters found at one place; more than one where the response leaves it open."""

    letters: tuple[str, ...]
    start: int
    end: int


def direct(
    text: str, begin: int, end: int, letters: frozenset[str], *, strict: bool = False
) -> Found | None:
    """The letter that stands at `begin`, after filler words, with its alternatives.

    Args:
        text: The cleaned response.
        begin: Where the announcing words end.
        end: Where their sentence ends.
        letters: The letters that the question offers.
        strict: Accept a bare letter only where the sentence ends or pauses after it.
    """
    filler = _FILLER.match(text, begin, end)
    match = _DIRECT.match(text, filler.end() if filler else begin, end)
    if match is None:
        return None
    letter = _letter(match)
    bracketed = match[1] is not None
    final = bracketed or match["ends"] is not None or match[4] is not None
    if not final and (strict or letter not in letters or letter == "I"):
        return None
    if _REJECTED_AFTER.match(text, match.end(), end):
        return None
    return _with_alternatives(text, match, end, letters)


def either(text: str, begin: int, end: int, letters: frozenset[str]) -> Found | None:
    """The letters of "either A or B" and "both (A) and (B)" at `begin`."""
    match = re.compile(r"\s*(?:either|both|between)\s+", re.IGNORECASE).match(text, begin, end)
    found = direct(text, match.end(), end, letters) if match else None
    return found if found and len(found.letters) > 1 else None


def references(text: str, begin: int, end: int, letters: frozenset[str]) -> list[Found]:
    """Every letter named as an option ("(B)", "option B") and not rejected beside it."""
    return [
        Found(letters=(letter,), start=match.start(), end=match.end())
        for match in _REFERENCE.finditer(text, begin, end)
        if (letter := _letter(match)) in letters
        and not _REJECTED_AFTER.match(text, match.end(), end)
        and not _REJECTED_BEFORE.search(text[max(0, match.start() - 32) : match.start()])
    ]


def rejected_after(text: str, position: int) -> bool:
    """Whether "is wrong", "is not ..." or the like follows."""
    return _REJECTED_AFTER.match(text, position) is not None


def final(text: str, begin: int, end: int, letters: frozenset[str]) -> Found | None:
    """The bare capital that ends a sentence after a word or sign that announces it."""
    match = _FINAL.search(text, begin, end)
    if match is None or match[1] not in letters:
        return None
    if _REJECTED_BEFORE.search(text[max(0, match.start(1) - 32) : match.start(1)]):
        return None
    return Found(letters=(match[1],), start=match.start(1), end=match.end(1))


def _with_alternatives(text: str, first: re.Match[str], end: int, letters: frozenset[str]) -> Found:
    found, position = [_letter(first)], first.end()
    while joined := _ALTERNATIVE.match(text, position, end):
        following = _DIRECT.match(text, joined.end(), end)
        if following is None or _letter(following) not in letters:
            break
        if not joined["join"].strip(", ").startswith("or") and _GOES_ON.match(
            text, following.end(), end
        ):
            break
        if _letter(following) not in found:
            found.append(_letter(following))
        position = following.end()
    return Found(letters=tuple(found), start=first.start(), end=position)


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()
