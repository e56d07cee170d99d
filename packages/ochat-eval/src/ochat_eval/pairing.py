"""Two runs of the same questions, question by question: who won where, and could that be chance.

Pairs see smaller differences than two intervals side by side, because most questions are easy or
hard for both. Exact McNemar on the questions that only one of the two got right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ochat_eval.errors import RunFolderError
from ochat_eval.question import Question
from ochat_eval.store import RunFolder, read_lines
from ochat_eval.verdict import Status

_Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A question that only one of two runs got right: `fixed` by the second, or broken by it."""

    id: str
    group: str
    fixed: bool
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One question in both runs: its task, its cluster (may be empty), who got it right."""

    task: str
    cluster: str
    before: bool
    after: bool

    @property
    def difference(self) -> int:
        """1 where only the second run was right, -1 where only the first."""
        return int(self.after) - int(self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Two runs over the questions that both answered.

    Attributes:
        n: Questions that both answered.
        left_out: Questions that at least one of the two has no answer to.
        first_correct: Of the first run, among the n.
        second_correct: Of the second run, among the n.
        flips: The questions that only one got right.
        outcomes: Of every question that both answered.
    """

    n: int
    left_out: int
    first_correct: int
    second_correct: int
    flips: tuple[Flip, ...]
    outcomes: tuple[Outcome, ...] = ()

    @property
    def fixed(self) -> int:
        """Questions that only the second run got right."""
        return sum(flip.fixed for flip in self.flips)

    @property
    def broken(self) -> int:
        """Questions that only the first run got right."""
        return len(self.flips) - self.fixed

    @property
    def difference(self) -> float | None:
        """Accuracy of the second less that of the first; None where nothing pairs."""
        return (self.fixed - self.broken) / self.n if self.n else None

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar: the chance of so uneven a split, were both equally good."""
        return mcnemar(self.fixed, self.broken)

    @property
    def interval(self) -> tuple[float, float]:
        """Approximate 95 % interval of the difference, from the variance of the pairs."""
        if not self.n:
            return -1.0, 1.0
        gap = self.fixed - self.broken
        spread = _Z95 * math.sqrt(max(len(self.flips) - gap * gap / self.n, 0.0))
        return (gap - spread) / self.n, (gap + spread) / self.n

    def to_json(self) -> dict[str, object]:
        """Every figure, and the flips, as plain JSON values."""
        return {
            "n": self.n,
            "left_out": self.left_out,
            "first_correct": self.first_correct,
            "second_correct": self.second_correct,
            "fixed": self.fixed,
            "broken": self.broken,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
        }


def mcnemar(fixed: int, broken: int) -> float:
    """The exact two-sided p-value of so many wins against so many losses."""
    total, fewer = fixed + broken, min(fixed, broken)
    if fixed == broken:
        return 1.0
    ways, term = 0, 1
    for index in range(fewer + 1):
        ways += term
        term = term * (total - index) // (index + 1)
    return min(1.0, float(2 * ways / 2**total)) if total < 1000 else _ratio(2 * ways, total)


def _ratio(ways: int, total: int) -> float:
    """Ways / 2**total without leaving the range of a float."""
    shift = max(ways.bit_length() - 64, 0)
    return min(1.0, math.ldexp(ways >> shift, shift - total))


def pair(first: Path, second: Path) -> Pairing:
    """Pair the verdicts of two finished runs.

    Raises:
        RunFolderError: A run has no verdicts, or the two were asked or graded differently.
    """
    one, other = RunFolder.open(first), RunFolder.open(second)
    require_same_questions(one, other)
    verdicts = [read_lines(path / "verdicts.jsonl") for path in (first, second)]
    by_key = [{row["key"]: row for row in rows} for rows in verdicts]
    return _paired(one.questions(), *by_key)


def require_same_questions(one: RunFolder, other: RunFolder) -> None:
    """Return if two runs were asked the same questions of the same versions of the same tasks.

    Raises:
        RunFolderError: They were not; names the first difference.
    """
    tasks = [folder.manifest.get("tasks") for folder in (one, other)]
    mine, theirs = (each if isinstance(each, Mapping) else {} for each in tasks)
    for name in mine.keys() | theirs.keys():
        if mine.get(name) != theirs.get(name):
            raise RunFolderError(
                f"{one.path} and {other.path} differ in the task {name!r} (version or items): "
                "run both with the same version"
            )
    keys = [{question.key for question in folder.questions()} for folder in (one, other)]
    if keys[0] != keys[1]:
        raise RunFolderError(
            f"{one.path} and {other.path} were asked different questions "
            f"({len(keys[0] & keys[1])} of {len(keys[0])} and {len(keys[1])} are the same): "
            "run both on the same suite"
        )


def _paired(
    questions: Sequence[Question], first: Mapping[str, Any], second: Mapping[str, Any]
) -> Pairing:
    by_key = {question.key: question for question in questions}
    keys = list(by_key)
    answered = [key for key in keys if _answered(first.get(key)) and _answered(second.get(key))]
    right = [
        [rows[key]["status"] == Status.CORRECT for key in answered] for rows in (first, second)
    ]
    flips = [
        Flip(
            id=first[key]["id"],
            group=first[key]["group"],
            fixed=after,
            first=_shown(first[key]),
            second=_shown(second[key]),
        )
        for key, before, after in zip(answered, *right, strict=True)
        if before != after
    ]
    return Pairing(
        n=len(answered),
        left_out=len(keys) - len(answered),
        first_correct=sum(right[0]),
        second_correct=sum(right[1]),
        flips=tuple(flips),
        outcomes=tuple(
            Outcome(
                task=by_key[key].task or by_key[key].group,
                cluster=by_key[key].cluster,
                before=before,
                after=after,
            )
            for key, before, after in zip(answered, *right, strict=True)
        ),
    )


def _answered(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["status"] != Status.ERROR


def _shown(row: Mapping[str, Any]) -> str:
    """An answer in a list of flips: what was extracted, or why nothing was."""
    return str(row["extracted"] or row["status"])[:40]
