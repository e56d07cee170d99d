"""A verdict: what was found in one response, where, by which rule, and whether it is right.

How the answer is found belongs to `ochat_eval.graders`; counting verdicts to `statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How one response ended; only `ERROR` is outside the accuracy (the model said nothing)."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNPARSED = "unparsed"
    TRUNCATED = "truncated"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The graded form of one response.

    Attributes:
        status: Correct, incorrect, unparsed (no answer found), truncated (cut off before an answer
            came) or error (the server gave no response).
        score: 1.0 where correct, None where error, else 0.0; of a judge the rating, or A, B, tie.
        extracted: The answer as understood: a letter, a number, or the alternatives of a hedge.
        rule: The name of the rule that decided, for example `answer-is`.
        span: Start and end (characters of the response) of what the rule looked at.
    """

    status: Status
    score: float | str | None
    extracted: str | None = None
    rule: str = ""
    span: tuple[int, int] | None = None

    def to_json(self) -> dict[str, object]:
        """The verdict as plain JSON values; the span becomes a list of two."""
        return {
            "status": self.status.value,
            "score": self.score,
            "extracted": self.extracted,
            "rule": self.rule,
            "span": list(self.span) if self.span else None,
        }


def judged(*, correct: bool, extracted: str, rule: str, span: tuple[int, int]) -> Verdict:
    """The verdict on an answer that was found."""
    status = Status.CORRECT if correct else Status.INCORRECT
    return Verdict(status=status, score=float(correct), extracted=extracted, rule=rule, span=span)


def unanswered(status: Status, rule: str, extracted: str | None = None) -> Verdict:
    """The verdict where no answer was found: `UNPARSED` or `TRUNCATED`, never credited."""
    return Verdict(status=status, score=0.0, extracted=extracted, rule=rule)


def failed(reason: str) -> Verdict:
    """The verdict on a question that the server did not answer."""
    return Verdict(status=Status.ERROR, score=None, rule=reason)
