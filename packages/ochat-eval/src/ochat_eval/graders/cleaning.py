"""What every grader does first: fold look-alike characters, drop reasoning, cut run-on turns.

Each replacement keeps the length, so that a position in the cleaned text is the same position in
the response and a verdict's span can be shown. Finding the answer is the graders' own business.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Minus, hyphens and dashes that models write before a number; NFKC leaves all of them alone.
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
_INVISIBLE = dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", " ")
_FOLDED = _DASHES | _QUOTES | _INVISIBLE

_REASONING = r"(?:think|thinking|thought|reasoning)"
_OPENING = re.compile(rf"<{_REASONING}>", re.IGNORECASE)
_CLOSING = re.compile(rf"</{_REASONING}>", re.IGNORECASE)

# A model that runs on writes the next turn itself, in the style of its prompt or of a template.
_NEXT_TURN = re.compile(
    r"\n[ \t]*[*#_ ]*(?:Q|Question|Human|User|Instruction)[ \t]*\d*[*_]*[:.]"
    r"|<\|(?:im_start|end_of_turn|eot_id|user)\|>"
    r"|\bGPT4? ?(?:Correct )?User:",
)

_MARKUP = frozenset("*_`~")
_EMPHASIS = re.compile(
    r"\*{2,3}|__+|`+|~~|(?<![\w)\]])\*(?=\S)|(?<=\S)\*(?![\w(])|\b_(?=[^\W_])|(?<=[^\W_])_\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A response made ready for extraction.

    Attributes:
        text: As long as the response, or shorter where a run-on turn was cut off.
        unclosed: Whether the response ends inside a reasoning block: nothing in it is an answer.
    """

    text: str
    unclosed: bool


def clean(response: str, *, markup: bool = True) -> Cleaned:
    """Fold characters, blank closed reasoning blocks and cut hallucinated follow-up turns.

    Args:
        response: What the model wrote.
        markup: Whether to blank Markdown's emphasis; in a formula `_` and `*` have a meaning.
    """
    text, unclosed = without_reasoning(_fold(response))
    text = _first_turn(text)
    if markup and not _MARKUP.isdisjoint(text):
        text = _EMPHASIS.sub(_blank, text)
    return Cleaned(text=text, unclosed=unclosed)


def without_reasoning(text: str) -> tuple[str, bool]:
    """The text with closed reasoning blanked, and whether a block is left open."""
    done: list[str] = []
    position = 0
    while closing := _CLOSING.search(text, position):
        # Some templates open the block in the prompt, so that only its end is in the response.
        opening = _OPENING.search(text, position, closing.start())
        start = opening.start() if opening else position
        done += [text[position:start], " " * (closing.end() - start)]
        position = closing.end()
    rest = text[position:]
    return "".join((*done, rest)), _OPENING.search(rest) is not None


def _fold(text: str) -> str:
    """Compatibility forms and dashes to plain ones; letters of other scripts stay as they are."""
    return text if text.isascii() else "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    if character.isascii():
        return character
    if character in _FOLDED:
        return _FOLDED[character]
    if unicodedata.decomposition(character).startswith(("<super>", "<sub>")):
        return character  # 10² is not 102
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


def _first_turn(text: str) -> str:
    for match in _NEXT_TURN.finditer(text):
        if text[: match.start()].strip():
            return text[: match.start()]
    return text


def _blank(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())
