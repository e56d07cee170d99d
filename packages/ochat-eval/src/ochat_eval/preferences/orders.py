"""What two judgements of one instruction, in both orders, say together.

Means and intervals of them are made in `winrate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ochat_eval.preferences.annotations import Preference


def winners_of_both_orders(preferences: Sequence[Preference]) -> list[float | None]:
    """For each instruction judged in both orders: 1 the model, 0 the baseline, None no agreement.

    A judge who names whatever stands first agrees with nobody, itself included; where it does
    agree with itself, the answers made it.
    """
    orders: dict[str, dict[bool, float]] = {}
    for each in preferences:
        if each.model_first is not None:
            orders.setdefault(each.instruction, {})[each.model_first] = each.value
    both = [found for found in orders.values() if len(found) == 2]
    return [_winner(found[True], found[False]) for found in both]


def _winner(first: float, second: float) -> float | None:
    if first > 0.5 and second > 0.5:
        return 1.0
    return 0.0 if first < 0.5 and second < 0.5 else None
