"""Finds records that hold a benchmark's question, by runs of 13 words that both have.

Thirteen words are what GPT-3 used (arXiv 2005.14165, appendix C); questions shorter than that count
as found where all their words stand in one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import InputError
from .reading import read_items

if TYPE_CHECKING:
    from .record import Record

NGRAM_WORDS = 13
# Shorter questions, such as "Why?", stand in conversations that never saw the benchmark.
_FEWEST_WORDS = 8
_WORD = re.compile(r"\w+")
# Where benchmarks keep what a model is asked.
_QUESTION_FIELDS = (
    *("question", "instruction", "prompt", "turns", "problem", "text", "input", "query"),
    *("conversations", "items", "messages", "value", "content", "questions"),
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The runs of words of a benchmark's questions, by their length in words."""

    runs: Mapping[int, frozenset[str]]
    questions: int

    def holds(self, record: Record) -> bool:
        """Whether a message of the record holds a run of one of the questions."""
        texts = [message.content for message in record.conversation.messages] or [record.text]
        for text in texts:
            words = _words(text)
            for length, runs in self.runs.items():
                for start in range(len(words) - length + 1):
                    if " ".join(words[start : start + length]) in runs:
                        return True
        return False


def read_benchmarks(files: Sequence[str]) -> Benchmark:
    """Reads the questions of benchmark files: JSON, JSON Lines, Parquet or plain text.

    Raises:
        InputError: A file cannot be read, or holds no question that is long enough to be found.
    """
    runs: dict[int, set[str]] = {}
    questions = 0
    for file in files:
        found = 0
        for item in read_items([file]):
            for text in _questions(item.value):
                words = _words(text)
                if len(words) < _FEWEST_WORDS:
                    continue
                found += 1
                length = min(NGRAM_WORDS, len(words))
                for start in range(len(words) - length + 1):
                    runs.setdefault(length, set()).add(" ".join(words[start : start + length]))
        if not found:
            raise InputError(
                f"{file} holds no benchmark question of {_FEWEST_WORDS} words or more; they are "
                f"looked for under {', '.join(map(repr, _QUESTION_FIELDS[:8]))}"
            )
        questions += found
    return Benchmark({length: frozenset(found) for length, found in runs.items()}, questions)


def _questions(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _questions(part)
    elif isinstance(value, Mapping):
        for key in _QUESTION_FIELDS:
            if key in value:
                yield from _questions(value[key])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
