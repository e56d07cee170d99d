"""What a pairing of two runs amounts to: intervals, tasks held against chance together, power.

Pairs are made in `pairing`, tests in `statistics`; words about it are the command's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from ochat_eval.pairing import Outcome, Pairing, mcnemar
from ochat_eval.statistics.paired import holm, paired_interval
from ochat_eval.statistics.power import detectable, power


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComparison:
    """One task in both runs; `adjusted` is Holm's p-value over all tasks."""

    name: str
    n: int
    fixed: int
    broken: int
    p_value: float
    adjusted: float

    @property
    def difference(self) -> float:
        """Accuracy of the second run less that of the first."""
        return (self.fixed - self.broken) / self.n

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "n": self.n,
            "fixed": self.fixed,
            "broken": self.broken,
            "difference": self.difference,
            "p_value": self.p_value,
            "p_value_holm": self.adjusted,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A pairing with everything that follows from it.

    Attributes:
        pairing: Who won where.
        interval: 95 % of the difference, by a bootstrap over questions or their clusters.
        tasks: Every task.
        flips: Share of questions that only one run got right.
        detectable: The smallest gain that is found with a power of 80 %; None where none is.
    """

    pairing: Pairing
    interval: tuple[float, float] | None
    tasks: tuple[TaskComparison, ...]
    flips: float
    detectable: float | None

    def power(self, gain: float) -> float:
        """The chance to find such a gain with as many questions that flip as often."""
        return power(self.pairing.n, gain, self.flips)

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        flips = [{"id": f.id, "group": f.group, "fixed": f.fixed} for f in self.pairing.flips]
        return self.pairing.to_json() | {
            "bootstrap_interval": list(self.interval) if self.interval else None,
            "flip_rate": self.flips,
            "minimum_detectable_effect": self.detectable,
            "tasks": {task.name: task.to_json() for task in self.tasks},
            "flips": flips,
        }


def compared(pairing: Pairing, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """Everything about a pairing."""
    outcomes = pairing.outcomes
    share = len(pairing.flips) / pairing.n if pairing.n else 0.0
    interval = None
    if outcomes:
        differences = [each.difference for each in outcomes]
        clusters = [each.cluster for each in outcomes]
        interval = paired_interval(differences, clusters, draws=draws, seed=seed)
    return Comparison(
        pairing=pairing,
        interval=interval,
        tasks=_tasks(outcomes),
        flips=share,
        detectable=detectable(pairing.n, share) if pairing.n else None,
    )


def _tasks(outcomes: tuple[Outcome, ...]) -> tuple[TaskComparison, ...]:
    by_task: dict[str, list[int]] = {}
    for each in outcomes:
        by_task.setdefault(each.task, []).append(each.difference)
    counted = {name: (found.count(1), found.count(-1)) for name, found in by_task.items()}
    p_values = {name: mcnemar(*counts) for name, counts in counted.items()}
    adjusted = holm(p_values)
    return tuple(
        TaskComparison(
            name=name,
            n=len(found),
            fixed=counted[name][0],
            broken=counted[name][1],
            p_value=p_values[name],
            adjusted=adjusted[name],
        )
        for name, found in by_task.items()
    )
