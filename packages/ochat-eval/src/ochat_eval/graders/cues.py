"""Where a response commits itself: "the answer is", a colon after "Answer", a box, a `####` line.

Says where the answer should stand; reading a letter or a number there is the graders' business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ochat_eval.graders.denials import NEGATION

_ANSWER = re.compile(
    r"""
    \b(?:answers?|solution|conclusion
      |(?:correct|right|best|final|chosen|proper)\s+
       (?:option|choice|letter|statement|one|result|value|number|total|pick|guess)
      |my\s+(?:choice|pick|guess|selection)
    )\b
    (?!\s+choices)
    (?P<middle>[^.\n:=?!]{0,60}?)
    (?:\b(?:is|was|are|be|equals)\b|\s*[:=])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BOXED = re.compile(r"\\f?boxed\b")
_HASHES = re.compile(r"####[ \t]*")

# A cue inside a condition or a denial commits to nothing. A "but" in between ends the denial.
_UNREAL = re.compile(
    r"(?:\b(?:if|suppose|supposing|assume|assuming|whether|unless)\b[^.\n;,]{0,40}"
    rf"|(?:{NEGATION}|\b(?:unlikely|doubt)\b)(?:(?!\b(?:but|so|hence|yet|and)\b)[^.\n;,]){{0,25}}"
    r"|\b(?:wrong|incorrect|false|tempting|common|other|another|previous|student'?s?|to)\s+)$",
    re.IGNORECASE,
)
_NEGATION = re.compile(NEGATION, re.IGNORECASE)
_LOOKBACK = 64
_WINDOW = 400
_TAIL = 600
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]]|$)|\n|;")
_SENTENCE = re.compile(r"[^\n;]+?(?:[.!?](?=\s)|$|(?=[\n;]))")
_LEADING = re.compile(r"[\s:=>\-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A place after which an answer is announced: `start` and `end` of the announcing words."""

    rule: str
    start: int
    end: int


def committing(text: str, pattern: re.Pattern[str], rule: str, begin: int = 0) -> list[Cue]:
    """The matches of a pattern from `begin` on that stand in no condition and no denial."""
    return [
        Cue(rule=rule, start=match.start(), end=match.end())
        for match in pattern.finditer(text, begin)
        if not _UNREAL.search(text[max(0, match.start() - _LOOKBACK) : match.start()])
        and not _NEGATION.search(match.groupdict().get("middle") or "")
    ]


def find_cues(text: str, begin: int = 0) -> list[Cue]:
    """Every explicit announcement of an answer from `begin` on, in the order of the text."""
    cues = committing(text, _ANSWER, "answer-is", begin)
    cues += [
        Cue(rule=rule, start=match.start(), end=match.end())
        for rule, pattern in (("boxed", _BOXED), ("hashes", _HASHES))
        for match in pattern.finditer(text, begin)
    ]
    return sorted(cues, key=lambda cue: cue.start)


def tails(text: str) -> tuple[int, ...]:
    """Where to begin looking: near the end first, because the last commitment is the one sought."""
    return (len(text) - _TAIL, 0) if len(text) > _TAIL else (0,)


def without_denials(text: str) -> str:
    """The text with every sentence blanked that denies an answer ("the answer is not 5")."""
    if not (_ANSWER.search(text) and _NEGATION.search(text)):
        return text
    return _SENTENCE.sub(_blank_if_denial, text)


def window(text: str, start: int) -> tuple[int, int]:
    """Start and end of what follows a cue: the rest of its sentence, white space skipped."""
    leading = _LEADING.match(text, start)
    begin = leading.end() if leading else start
    end = _SENTENCE_END.search(text, begin, begin + _WINDOW)
    return begin, end.start() if end else min(len(text), begin + _WINDOW)


def _blank_if_denial(match: re.Match[str]) -> str:
    sentence = match[0]
    denies = _ANSWER.search(sentence) and _NEGATION.search(sentence)
    return " " * len(sentence) if denies else sentence
