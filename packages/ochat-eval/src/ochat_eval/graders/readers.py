"""How a short answer is read off a text: one of two opposites, a list of words, a run of brackets.

Each reader knows two situations: an answer announced at a position, and a response that announces
none. Comparing what was read with a label is `text`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ochat_eval.graders.denials import affirmed

_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]}]|$)|\n|;")
_FILLER = re.compile(
    r"(?:[\s\"'({:]|\b(?:that|it\s+is|it's|the|sorted\s+list|list|is|as\s+follows|clearly"
    r"|definitely|probably|therefore|simply)\b)*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['.\-][^\W_]+)*")
_BULLET = re.compile(r"\n[ \t]*(?:[-*\u2022]|\d+[.)])[ \t]*")
_STOP = re.compile(
    r"\s*,?\s*\b(?:because|since|as|so|which|therefore|thus|given|due|but|not)\b|\s+[-\u2013\u2014(]",
    re.IGNORECASE,
)
_OR = re.compile(
    r"[\s\"',.)]*(?:\bor\b|/)[\s\"'(]*(?:maybe\s+|perhaps\s+|possibly\s+)?", re.IGNORECASE
)
_BRACKET_RUN = re.compile(r"[\[\](){}<>](?:[\s,]*[\[\](){}<>])*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An answer as it stands in the text; more than one where the response leaves it open."""

    answers: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The two ways to read: after an announcement at a position, and without any."""

    announced: Callable[[str, int], Reading | None]
    unannounced: Callable[[str], Reading | None]


def read_closed(pair: tuple[str, str]) -> Reader:
    """One of two opposites such as yes and no, wherever in the announced sentence it stands."""
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(pair)})(?![\w-])", re.IGNORECASE)

    def announced(text: str, position: int) -> Reading | None:
        end = _sentence_end(text, position)
        return _one_of(text, position, end, pattern)

    def unannounced(text: str) -> Reading | None:
        opening = re.compile(r"[\s\"'(]*").match(text)
        first = pattern.match(text, opening.end() if opening else 0)
        if first and _OR.match(text, first.end()) is None:
            return _one_of(text, first.start(), first.end(), pattern)
        start = _last_sentence(text)
        # "no" is too common in prose to be an answer anywhere else than at the beginning.
        return None if "no" in pair else _one_of(text, start, len(text), pattern)

    return Reader(announced=announced, unannounced=unannounced)


def _one_of(text: str, begin: int, end: int, pattern: re.Pattern[str]) -> Reading | None:
    places = [_Place(start=m.start(), end=m.end()) for m in pattern.finditer(text, begin, end)]
    found = affirmed(text, places, begin)
    if not found:
        return None
    first, last = found[0], found[0]
    for place in found[1:]:
        if text[place.start : place.end].lower() == text[first.start : first.end].lower():
            continue
        if _OR.fullmatch(text, last.end, place.start):
            both = (text[first.start : first.end], text[place.start : place.end])
            return Reading(answers=both, start=first.start, end=place.end)
    answer = text[first.start : first.end]
    return Reading(answers=(answer,), start=first.start, end=first.end)


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    end: int


def read_words(count: int) -> Reader:
    """A name or a list of `count` words; separators, bullets and quotes around them are no part."""

    def announced(text: str, position: int) -> Reading | None:
        filler = _FILLER.match(text, position)
        begin = filler.end() if filler else position
        end = _sentence_end(text, begin)
        if bullet := _BULLET.match(text, max(begin - 1, 0)) or _BULLET.search(
            text, position, begin
        ):
            return _bullets(text, bullet.start())
        return _words(text, begin, end, count)

    def unannounced(text: str) -> Reading | None:
        bare = text.strip()
        if "\n" in bare or len(_WORD.findall(bare)) > count:
            return None
        start = text.index(bare)
        return _words(text, start, start + len(bare), count)

    return Reader(announced=announced, unannounced=unannounced)


def _words(text: str, begin: int, end: int, count: int) -> Reading | None:
    if stop := _STOP.search(text, begin, end):
        end = stop.start()
    parts = [text[begin:end]]
    if count == 1 and (either := _OR.search(text, begin, end)):
        parts = [text[begin : either.start()], text[either.end() : end]]
    answers = tuple(" ".join(_WORD.findall(part)) for part in parts)
    if not all(answers):
        return None
    return Reading(answers=answers, start=begin, end=max(begin, end))


def _bullets(text: str, position: int) -> Reading:
    words: list[str] = []
    end = position
    while bullet := _BULLET.match(text, end):
        line = text.find("\n", bullet.end())
        end = len(text) if line < 0 else line
        words += _WORD.findall(text[bullet.end() : end])
    return Reading(answers=(" ".join(words),), start=position, end=end)


def _brackets_at(text: str, position: int) -> Reading | None:
    opening = re.compile(r"[\s\"':`]*").match(text, position)
    run = _BRACKET_RUN.match(text, opening.end() if opening else position)
    if run is None:
        return None
    return Reading(
        answers=(" ".join(run[0].replace(",", " ").split()),), start=run.start(), end=run.end()
    )


def _brackets_alone(text: str) -> Reading | None:
    bare = text.strip(" \n\t.\"'`:")
    return _brackets_at(text, 0) if _BRACKET_RUN.fullmatch(bare) else None


read_brackets = Reader(announced=_brackets_at, unannounced=_brackets_alone)


def _sentence_end(text: str, begin: int) -> int:
    found = _SENTENCE_END.search(text, begin)
    return found.start() if found else len(text)


def _last_sentence(text: str) -> int:
    ends = [match.end() for match in _SENTENCE_END.finditer(text.rstrip(" .!\n\"'"))]
    return ends[-1] if ends else 0
