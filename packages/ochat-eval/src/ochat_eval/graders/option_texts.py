"""Options answered by their text ("Nauru is the smallest") instead of their letter.

Knows how an option's text is recognised in prose; letters themselves are in `letters`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ochat_eval.graders.denials import affirmed
from ochat_eval.graders.letters import Found, rejected_after

# Three letters or fewer ("no", "yes", "red") are too common in prose to count anywhere in it.
_SHORT_WORD = re.compile(r"[A-Za-z]{1,3}")
_WRAPPING = " \t\n.,;:!?\"'()[]"
_BOTH = re.compile(r"\bboth\b[^.,;\n]*$", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:an?|the)\s+(?=\S)")
_OPENERS = re.compile(
    r"[\s\"'(\[:]*(?:(?:that|the|an?|indeed|clearly|probably)\b[\s\"'(\[:]*)*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTexts:
    """The texts of a question's options, ready to be looked for.

    Attributes:
        exact: Bare text (lower case, no wrapping punctuation), with and without its article, to
            letter.
        sought: Letter and text of every text worth looking for, longest text first.
        short: Letters whose text is too short to count in the middle of prose.
    """

    exact: Mapping[str, str]
    sought: tuple[tuple[str, str], ...]
    short: frozenset[str]

    def whole(self, text: str) -> str | None:
        """The letter whose text is the whole of `text`."""
        bare = _bare(text)
        return self.exact.get(bare) or self.exact.get(_without_article(bare))

    def at(self, text: str, begin: int, end: int) -> Found | None:
        """The option whose text stands at `begin`, the longest where several do."""
        openers = _OPENERS.match(text, begin, end)
        for position in dict.fromkeys((begin, openers.end() if openers else begin)):
            for letter, option in self._within(text):
                if match := _pattern(option).match(text, position):
                    return Found(letters=(letter,), start=match.start(), end=match.end())
        return None

    def mentions(self, text: str) -> list[Found]:
        """Every option mentioned and not taken back; one inside a longer one does not count."""
        taken: list[Found] = []
        for letter, option in self._within(text):
            if letter in self.short:
                continue
            for match in _pattern(option).finditer(text):
                inside = any(f.start <= match.start() and match.end() <= f.end for f in taken)
                if not inside and not rejected_after(text, match.end()):
                    taken.append(Found(letters=(letter,), start=match.start(), end=match.end()))
        return affirmed(text, sorted(taken, key=lambda found: found.start), also=_BOTH)

    def _within(self, text: str) -> list[tuple[str, str]]:
        """Letters and texts that may be in a text: compiling a pattern costs more than looking."""
        lower = text.lower()
        return [pair for pair in self.sought if pair[1].split(None, 1)[0] in lower]


def option_texts(letters: Sequence[str], texts: Sequence[str]) -> OptionTexts:
    """Prepare the texts; one that two options share identifies neither and is left out."""
    return _prepared(tuple(letters), tuple(texts))


@lru_cache(maxsize=1024)
def _prepared(letters: tuple[str, ...], texts: tuple[str, ...]) -> OptionTexts:
    bare = {letter: _bare(text) for letter, text in zip(letters, texts, strict=False)}
    names = {letter: {text, _without_article(text)} - {""} for letter, text in bare.items()}
    count = Counter(name for each in names.values() for name in each)
    unique = {name: letter for letter, each in names.items() for name in each if count[name] == 1}
    # Looked for without its article, unless too little is left: "a cat" is clear, "cat" is short.
    sought = [(_sought(text, unique), letter) for letter, text in bare.items()]
    ordered = sorted((item for item in sought if item[0] in unique), key=lambda item: -len(item[0]))
    return OptionTexts(
        exact=unique,
        sought=tuple((letter, text) for text, letter in ordered),
        short=frozenset(letter for text, letter in ordered if _SHORT_WORD.fullmatch(text)),
    )


def _bare(text: str) -> str:
    return " ".join(text.strip(_WRAPPING).lower().split())


def _without_article(text: str) -> str:
    return _ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text


def _sought(text: str, unique: Mapping[str, str]) -> str:
    short = _without_article(text)
    return short if short in unique and not _SHORT_WORD.fullmatch(short) else text


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, text.split()))
    return re.compile(rf"(?<![\w.,/\-]){words}(?![\w/]|[.,:]\d|\s*[+*=]\s*\d)", re.IGNORECASE)
