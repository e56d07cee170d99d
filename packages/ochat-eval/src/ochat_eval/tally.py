"""Counts of verdicts and what they say: accuracy with its 95 % Wilson interval.

Knows no files; whole runs are summarised in `summary`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ochat_eval.verdict import Status

_Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


def wilson_interval(successes: float, n: float, *, z: float = _Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, which stays within 0 and 1 at every n.

    Args:
        successes: How many of the n; neither need be whole.
        n: How many trials; with none the interval is (0, 1).
        z: The normal quantile; the default gives 95 %.
    """
    if n == 0:
        return 0.0, 1.0
    share, square = successes / n, z * z
    centre = share + square / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low, high = (centre - spread) / (1 + square / n), (centre + spread) / (1 + square / n)
    return (0.0 if successes == 0 else low, 1.0 if successes == n else high)


def mean_accuracy(tallies: Iterable[Tally]) -> float | None:
    """The mean of the accuracies of those that have one (macro average); None where none has."""
    found = [tally.accuracy for tally in tallies if tally.accuracy is not None]
    return math.fsum(found) / len(found) if found else None


def mean_accuracy_interval(tallies: Iterable[Tally]) -> tuple[float, float]:
    """The 95 % interval of a macro average, for new questions of the same groups.

    Each group's variance is Laplace's (two made-up answers, one right), so that a small group whose
    answers are all alike does not pass for certain; the interval is Wilson's at the size of sample
    that a plain count with the same standard error would have, and stays within 0 and 1.
    """
    found = [tally for tally in tallies if tally.n]
    if not found:
        return 0.0, 1.0
    value = math.fsum(tally.correct / tally.n for tally in found) / len(found)
    variance = 0.0
    for tally in found:
        share = (tally.correct + 1) / (tally.n + 2)
        variance += share * (1 - share) / tally.n / len(found) ** 2
    # A value at an end says nothing about its own spread; there the size is that of all answers.
    inside = 0.0 < value < 1.0
    size = value * (1 - value) / variance if inside else sum(tally.n for tally in found)
    return wilson_interval(value * size, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often each status came.

    A question that the server did not answer (`error`) is outside the accuracy: it says nothing
    about the model. Unparsed and truncated responses are inside it, and not correct.
    """

    correct: int = 0
    incorrect: int = 0
    unparsed: int = 0
    truncated: int = 0
    error: int = 0

    @classmethod
    def of(cls, statuses: Iterable[Status]) -> Tally:
        """Count statuses."""
        counts = Counter(status.value for status in statuses)
        return cls(**counts)

    @property
    def n(self) -> int:
        """Responses that were graded."""
        return self.correct + self.incorrect + self.unparsed + self.truncated

    @property
    def accuracy(self) -> float | None:
        """Correct responses per graded response; None where there are none."""
        return self.correct / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % Wilson interval."""
        return wilson_interval(self.correct, self.n)

    def to_json(self) -> dict[str, object]:
        """n, accuracy, interval and the five counts."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "correct": self.correct,
            "incorrect": self.incorrect,
            "unparsed": self.unparsed,
            "truncated": self.truncated,
            "errors": self.error,
        }
