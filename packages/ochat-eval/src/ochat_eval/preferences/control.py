"""What a judge would say of answers of equal length, shown in neither place first.

A logistic model of every judgement: the model's strength, plus what the judge gives for length
(as tanh of the difference in standard deviations), plus what it gives for the first place, plus
how hard the instruction is where that is known. Its interval resamples instructions and fits again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ochat_eval.preferences.annotations import Preference
from ochat_eval.statistics.intervals import Z95, Floats, bootstrap, numbered, wilson
from ochat_eval.statistics.logistic import fit, logit, sigmoid

# Normal priors of mean 0. A judge's gain from one standard deviation of length is rarely beyond 2
# in log odds; without a prior, lengths that hardly overlap give any value.
_LENGTH_DEVIATION, _PLACE_DEVIATION, _HARD_DEVIATION, _STRENGTH_DEVIATION = 2.0, 5.0, 5.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """A win rate at equal length and place.

    Attributes:
        share: The estimate, 0 to 1.
        error: Its standard error, by the bootstrap.
        interval: 95 %, by the bootstrap.
        length_effect: Log odds that a longer answer gains, at most (tanh = 1).
        place_effect: Log odds that the first place gives; None where all places are unknown.
        overlap: Share of judgements whose model's answer is at least as long as the baseline's, or
            the reverse, whichever is rarer: near 0 the estimate reaches beyond what was seen.
    """

    share: float
    error: float
    interval: tuple[float, float]
    length_effect: float
    place_effect: float | None
    overlap: float


def controlled(
    preferences: Sequence[Preference],
    *,
    difficulty: Mapping[str, float] | None = None,
    length: bool = True,
    draws: int = 1000,
    seed: int = 0,
) -> Controlled:
    """Fit the model and its interval.

    Args:
        preferences: The judgements.
        difficulty: Of instructions, in log odds or any scale; those not listed count as average.
        length: Whether to control for length; place is controlled wherever it is known.
        draws: Of the bootstrap.
        seed: Of the bootstrap.
    """
    answers = np.array([each.value for each in preferences])
    gaps = np.array([each.length - each.baseline_length for each in preferences], float)
    known = [each.model_first for each in preferences]
    columns, penalties = [np.ones(len(answers))], [_STRENGTH_DEVIATION**-2]
    where: dict[str, int] = {}

    def add(name: str, values: Floats, deviation: float) -> None:
        where[name] = len(columns)
        columns.append(values)
        penalties.append(deviation**-2)

    if length:
        add("length", longer(gaps), _LENGTH_DEVIATION)
    if any(first is not None for first in known):
        places = [0.0 if first is None else (0.5 if first else -0.5) for first in known]
        add("place", np.array(places), _PLACE_DEVIATION)
    hard = _standardised(preferences, difficulty or {})
    if hard is not None:
        add("hard", hard, _HARD_DEVIATION)
    table, costs = np.column_stack(columns), np.array(penalties)

    whole = np.ones((1, len(answers)))
    coefficients = fit(table, answers, costs, whole)[0]

    def odds(weights: Floats) -> Floats:
        found = fit(table, answers, costs, weights, coefficients)
        return logit(_share(found, weights, hard, where.get("hard")))

    clusters = numbered([each.instruction for each in preferences])
    # Either interval alone, normal in log odds or of percentiles, held the truths of simulated
    # judges a little less often than 95 % (92 to 94 % at n = 400): the wider bound of both counts.
    deviation, (lowest, highest) = bootstrap(odds, clusters, draws=draws, seed=seed)
    middle = odds(whole)[0]
    spread = Z95 * deviation
    bounds = [min(lowest, middle - spread), middle, max(highest, middle + spread)]
    low, share, high = sigmoid(np.array(bounds))
    if not answers.std():
        # Resampling cannot show what else a judge of one mind might have said; a count can.
        low, high = wilson(float(answers.mean()), int(clusters.max()) + 1)
    return Controlled(
        share=float(share),
        error=float(deviation * share * (1 - share)),
        interval=(float(low), float(high)),
        length_effect=float(coefficients[where["length"]]) if length else 0.0,
        place_effect=float(coefficients[where["place"]]) if "place" in where else None,
        overlap=float(min((gaps >= 0).mean(), (gaps <= 0).mean())),
    )


def longer(gaps: Floats) -> Floats:
    """How much longer, from -1 to 1: tanh of the gap in standard deviations of all gaps."""
    deviation = float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0
    return np.tanh(gaps / deviation) if deviation else np.zeros(len(gaps))


def difficulties(others: Sequence[Sequence[Preference]]) -> dict[str, float]:
    """How well other models did on each instruction: mean log odds of their preferences."""
    found: dict[str, list[float]] = {}
    for preferences in others:
        for each in preferences:
            chance = min(max(each.value, 0.02), 0.98)
            found.setdefault(each.instruction, []).append(float(np.log(chance / (1 - chance))))
    return {instruction: sum(values) / len(values) for instruction, values in found.items()}


def _share(
    coefficients: Floats, weights: Floats, hard: Floats | None, column: int | None
) -> Floats:
    """The win rate at no difference of length and place: over instructions as weighted."""
    strength = coefficients[:, :1]
    if hard is None or column is None:
        return sigmoid(strength[:, 0])
    each = sigmoid(strength + coefficients[:, column, None] * hard)
    return (weights * each).sum(axis=1) / weights.sum(axis=1)


def _standardised(
    preferences: Sequence[Preference], difficulty: Mapping[str, float]
) -> Floats | None:
    values = [difficulty.get(each.instruction) for each in preferences]
    seen = [value for value in values if value is not None]
    deviation = float(np.std(seen)) if seen else 0.0
    if not deviation:
        return None
    middle = float(np.mean(seen))
    return np.array([0.0 if v is None else (v - middle) / deviation for v in values])
