"""What a rule of an older grader gives: an answer, whether it matched, whether it is right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The outcome of one rule on one response.

    Attributes:
        answer: What the rule took for the answer.
        matched: Whether it found anything, or fell back to a default or to the whole response.
        correct: Whether it would have counted.
        rule: Its name.
    """

    answer: str
    matched: bool
    correct: bool
    rule: str


def bare(letter: str) -> str:
    """A letter without brackets: labels and options of the original have them in some families."""
    text = letter.strip()
    return text[1:-1].strip() if text[:1] + text[-1:] in ("()", "[]") else text
