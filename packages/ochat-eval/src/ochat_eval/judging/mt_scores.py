"""Figures of MT-bench from judgements in FastChat's form: means and the adjusted win rate.

The 95 % interval of a mean score is mean -+ 1.96 standard errors, with the two turns of a question
as one cluster; that of the adjusted win rate is Wilson's at the clustered standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ochat_eval.errors import JudgeError
from ochat_eval.statistics.intervals import Mean, mean_of, mean_of_share

Rows = Sequence[Mapping[str, Any]]


def single_scores(rows: Rows, categories: Mapping[int | str, str]) -> dict[str, object]:
    """Mean scores: overall, by turn, by category; what could not be read is counted, not scored.

    Raises:
        JudgeError: A row has no score.
    """
    try:
        scored = [row for row in rows if float(row["score"]) >= 0]
        unread = len(rows) - len(scored)
        turns = sorted({int(row["turn"]) for row in scored})
        names = [categories.get(row["question_id"], "") for row in scored]
    except (KeyError, TypeError, ValueError) as error:
        raise JudgeError(f"a judgement of single answers lacks or has a wrong {error}") from None
    told: dict[str, object] = {"n": len(scored), "unparsed": unread, "score": _scores(scored)}
    told["turns"] = {str(turn): _scores(r for r in scored if r["turn"] == turn) for turn in turns}
    told["categories"] = {
        name: _scores(row for row, own in zip(scored, names, strict=True) if own == name)
        for name in dict.fromkeys(names)
        if name
    }
    return told


def pair_scores(rows: Rows, model: str, categories: Mapping[int | str, str]) -> dict[str, object]:
    """Wins, losses, ties and the adjusted win rate (wins + ties / 2) / total of one model, in %.

    A pair is won where both orders name the same winner; another pair of verdicts is a tie, and a
    pair with an unreadable verdict is counted apart.

    Raises:
        JudgeError: A row is no judgement of a pair with this model.
    """
    values: list[tuple[float, object, int, str]] = []
    firsts: list[float] = []
    unread = consistent = 0
    for row in rows:
        try:
            sides = [row["model_1"], row["model_2"]]
            winners = [row["g1_winner"], row["g2_winner"]]
            question, turn = row["question_id"], int(row["turn"])
            own = f"model_{sides.index(model) + 1}"
        except (KeyError, TypeError, ValueError) as error:
            raise JudgeError(f"not a judgement of a pair with {model!r}: {error}") from None
        if not set(winners) <= {"model_1", "model_2", "tie"}:
            unread += 1
            continue
        firsts += [_first(winners[0], "model_1"), _first(winners[1], "model_2")]
        consistent += winners[0] == winners[1]
        decided = winners[0] == winners[1] != "tie"
        value = float(winners[0] == own) if decided else 0.5
        values.append((value, question, turn, categories.get(question, "")))
    told: dict[str, object] = {
        "n": len(values),
        "unparsed": unread,
        "wins": sum(value == 1 for value, *_ in values),
        "losses": sum(value == 0 for value, *_ in values),
        "ties": sum(value == 0.5 for value, *_ in values),
        "win_rate_adjusted": _rates(values),
    }
    turns, names = ({value[index]: None for value in values} for index in (2, 3))
    told["turns"] = {str(t): _rates([v for v in values if v[2] == t]) for t in turns}
    told["categories"] = {str(n): _rates([v for v in values if v[3] == n]) for n in names if n}
    told["judge_bias"] = {
        "first_place_wins": 100 * sum(firsts) / len(firsts) if firsts else None,
        "both_orders_agree": 100 * consistent / len(values) if values else None,
    }
    return told


def length_bias(pairs: Iterable[tuple[int, float]]) -> float | None:
    """Correlation of length (its rank) and score, over (characters, score); None for too few."""
    import numpy as np

    found = np.array(list(pairs), float)
    if len(found) < 3 or not found[:, 0].std() or not found[:, 1].std():
        return None
    ranks = np.empty(len(found))
    ranks[found[:, 0].argsort(kind="stable")] = np.arange(len(found))
    return float(np.corrcoef(ranks, found[:, 1])[0, 1])


def _first(winner: str, shown_first: str) -> float:
    return 0.5 if winner == "tie" else float(winner == shown_first)


def _scores(rows: Iterable[Mapping[str, Any]]) -> dict[str, object] | None:
    listed = list(rows)
    if not listed:
        return None
    found = mean_of([float(row["score"]) for row in listed], [row["question_id"] for row in listed])
    return _told(found, 1.0)


def _rates(values: Sequence[tuple[float, object, int, str]]) -> dict[str, object] | None:
    if not values:
        return None
    return _told(mean_of_share([v[0] for v in values], [v[1] for v in values]), 100.0)


def _told(found: Mean, unit: float) -> dict[str, object]:
    known = found.error is not None
    return {
        "mean": unit * found.value,
        "standard_error": unit * found.error if found.error is not None else None,
        "interval": [unit * bound for bound in found.interval] if known else None,
        "n": found.n,
        "questions": found.clusters,
    }
