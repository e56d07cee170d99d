"""A win rate: how often a judge preferred the model's answer, with counts, errors and intervals.

The figures of alpaca_eval's leaderboards, exactly; what they leave out stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ochat_eval.preferences.annotations import Preference
from ochat_eval.preferences.control import Controlled, controlled
from ochat_eval.preferences.orders import winners_of_both_orders
from ochat_eval.statistics.intervals import Mean, mean_of_share


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """The win rate of one model against one baseline.

    Attributes:
        n_wins: Judgements above a draw.
        n_wins_base: Judgements below a draw.
        n_draws: Judgements of exactly a draw.
        plain: The mean preference; its error is over judgements (n - 1), its interval by
            instructions, as two judgements of the same one are not independent.
        error: The standard error over judgements, as alpaca_eval gives it.
        length: The win rate at equal length and place.
        place: The win rate at equal place only; None where the places are unknown.
        agreed: Wins among the instructions whose winner was the same in both orders; None where
            there are none.
        bias: What the judge does with place and length.
    """

    n_wins: int
    n_wins_base: int
    n_draws: int
    plain: Mean
    error: float | None
    length: Controlled
    place: Controlled | None
    agreed: Mean | None
    bias: Mapping[str, float | None]

    def to_json(self) -> dict[str, object]:
        """Everything in percent, under the names of alpaca_eval's leaderboards."""
        total = self.n_wins + self.n_wins_base + self.n_draws
        told: dict[str, object] = {
            "win_rate": 100 * self.plain.value,
            "standard_error": None if self.error is None else 100 * self.error,
            "win_rate_interval": _percent(self.plain.interval),
            "n_wins": self.n_wins,
            "n_wins_base": self.n_wins_base,
            "n_draws": self.n_draws,
            "n_total": total,
            "n_instructions": self.plain.clusters,
            "discrete_win_rate": 100 * (self.n_wins + self.n_draws / 2) / total,
            "length_controlled_winrate": 100 * self.length.share,
            "length_controlled_standard_error": 100 * self.length.error,
            "length_controlled_interval": _percent(self.length.interval),
        }
        if self.place is not None:
            told |= {
                "position_controlled_winrate": 100 * self.place.share,
                "position_controlled_interval": _percent(self.place.interval),
            }
        if self.agreed is not None:
            told |= {
                "agreed_win_rate": 100 * self.agreed.value,
                "agreed_interval": _percent(self.agreed.interval),
            }
        return told | {"judge_bias": dict(self.bias)}


def win_rate(
    preferences: Sequence[Preference],
    *,
    difficulty: Mapping[str, float] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> WinRate:
    """Count preferences, of which there is at least one."""
    values = np.array([each.value for each in preferences])
    instructions = [each.instruction for each in preferences]
    again = len(set(instructions)) < len(instructions)
    placed = any(each.model_first is not None for each in preferences)
    length = controlled(preferences, difficulty=difficulty, draws=draws, seed=seed)
    place = controlled(preferences, length=False, draws=draws, seed=seed) if placed else None
    agreed = [each for each in winners_of_both_orders(preferences) if each is not None]
    return WinRate(
        n_wins=int((values > 0.5).sum()),
        n_wins_base=int((values < 0.5).sum()),
        n_draws=int((values == 0.5).sum()),
        plain=mean_of_share(values, instructions if again else None),
        error=mean_of_share(values).error,
        length=length,
        place=place,
        agreed=mean_of_share(agreed) if agreed else None,
        bias=judge_bias(preferences, length),
    )


def judge_bias(preferences: Sequence[Preference], fitted: Controlled) -> dict[str, float | None]:
    """How often the first answer and the longer answer won, and how often both orders agreed.

    Shares are in percent; the effects are the fit's, in log odds.
    """
    agreeing = [winner is not None for winner in winners_of_both_orders(preferences)]
    first = [
        each.value if each.model_first else 1 - each.value
        for each in preferences
        if each.model_first is not None
    ]
    longest = [
        each.value if each.length > each.baseline_length else 1 - each.value
        for each in preferences
        if each.length != each.baseline_length
    ]
    return {
        "first_place_wins": 100 * sum(first) / len(first) if first else None,
        "both_orders_agree": 100 * sum(agreeing) / len(agreeing) if agreeing else None,
        "longer_answer_wins": 100 * sum(longest) / len(longest) if longest else None,
        "length_effect": fitted.length_effect,
        "position_effect": fitted.place_effect,
        "length_overlap": 100 * fitted.overlap,
    }


def _percent(interval: tuple[float, float]) -> list[float]:
    return [100 * bound for bound in interval]
