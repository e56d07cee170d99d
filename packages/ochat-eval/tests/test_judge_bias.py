"""Judges with known biases: the estimates find the truth as often as their intervals promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ochat_eval.preferences.annotations import Preference
from ochat_eval.preferences.control import controlled, longer
from ochat_eval.preferences.orders import winners_of_both_orders
from ochat_eval.preferences.winrate import win_rate
from ochat_eval.statistics.intervals import mean_of_share

# Twice 200 seeds: of a true 95 % interval, 200 seeds show less than 93 % once in twelve by chance.
SEEDS, N, DRAWS = 400, 400, 100
LEAST = 0.93


def additive_judge(
    seed: int, *, place: float, length: float, spread: float
) -> tuple[list[Preference], float]:
    """Adds log odds for the first place and for length to what each answer deserves."""
    rng = np.random.default_rng(seed)
    strength = rng.uniform(-1.2, 1.2) + spread * rng.normal(size=N)
    # The model's answers are mostly shorter, as those of real models are.
    base, own = rng.lognormal(((7.2,), (6.9,)), 0.5, size=(2, N)).astype(int)
    gain = length * longer((own - base).astype(float))
    chances = {first: 1 / (1 + np.exp(-(strength + gain + sign * place)))
               for first, sign in ((True, 1), (False, -1))}  # fmt: skip
    rows = [
        Preference(
            instruction=str(i),
            value=float(rng.random() < chances[first][i]),
            baseline_length=int(base[i]),
            length=int(own[i]),
            model_first=first,
        )
        for i in range(N)
        for first in (True, False)
    ]
    return rows, float((1 / (1 + np.exp(-strength))).mean())


def careless_judge(seed: int, careless: float) -> tuple[list[Preference], float]:
    """Names the first answer without reading, so often; else the better one, for certain."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.2, 0.8)
    better = rng.random(N) < share
    rows = [
        Preference(
            instruction=str(i),
            value=float(first if rng.random() < careless else better[i]),
            baseline_length=100,
            length=100,
            model_first=first,
        )
        for i in range(N)
        for first in (True, False)
    ]
    return rows, share


def covered(truth: float, interval: tuple[float, float]) -> bool:
    return interval[0] <= truth <= interval[1]


@pytest.mark.parametrize(
    ("place", "length", "spread"), [(1.0, 1.5, 0.0), (0.5, -1.0, 0.8), (1.5, 0.0, 0.0)]
)
def test_length_and_place_taken_out_give_the_truth(
    place: float, length: float, spread: float
) -> None:
    hits = biased_hits = 0
    for seed in range(SEEDS):
        rows, truth = additive_judge(seed, place=place, length=length, spread=spread)
        hits += covered(truth, controlled(rows, draws=DRAWS).interval)
        if seed < 40:
            first_only = [row for row in rows if row.model_first]
            biased_hits += covered(truth, controlled(first_only, draws=50, length=False).interval)
    assert hits / SEEDS >= LEAST
    assert biased_hits / 40 < 0.5, "the judge is not biased enough to test anything"


def test_place_taken_out_alone_gives_the_truth_where_length_has_no_effect() -> None:
    hits = 0
    for seed in range(SEEDS):
        rows, truth = additive_judge(seed, place=1.0, length=0.0, spread=0.0)
        hits += covered(truth, controlled(rows, draws=DRAWS, length=False).interval)
    assert hits / SEEDS >= LEAST


def test_the_mean_of_both_orders_gives_one_half_of_equals_under_any_bias_for_place() -> None:
    hits, seeds = 0, 3000
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        likes_first = rng.uniform(0.5, 1.0, size=N)
        shown_first, shown_second = (rng.random((2, N)) < likes_first).astype(float)
        values = np.concatenate([shown_first, 1 - shown_second])
        hits += covered(0.5, mean_of_share(values, [*range(N)] * 2).interval)
    assert hits / seeds >= 0.94


def test_agreement_of_both_orders_gives_the_truth_of_a_careless_judge() -> None:
    hits = 0
    for seed in range(SEEDS):
        rows, truth = careless_judge(seed, 0.4)
        agreed = [each for each in winners_of_both_orders(rows) if each is not None]
        hits += covered(truth, mean_of_share(agreed).interval)
    assert hits / SEEDS >= LEAST


def test_a_judge_who_always_names_the_first_says_nothing_and_is_shown_to() -> None:
    rows = [
        Preference(instruction=str(i), value=float(first), baseline_length=5, length=9,
                   model_first=first)
        for i in range(50) for first in (True, False)
    ]  # fmt: skip
    found = win_rate(rows, draws=100)
    told = found.to_json()
    assert told["win_rate"] == 50.0
    assert found.bias["first_place_wins"] == 100.0
    assert found.bias["both_orders_agree"] == 0.0
    assert found.agreed is None
    assert math.isfinite(found.length.share)
