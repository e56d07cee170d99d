"""What a judge model said: a rating in double brackets, or which of two answers is better.

Only the judge's words are read here; asking a judge and counting its verdicts belongs elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ochat_eval.graders.cleaning import clean
from ochat_eval.verdict import Status, Verdict, unanswered

_RATING = re.compile(r"\[\[\s*(-?\d+(?:\.\d+)?)\s*\]\]")
_WINNER = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_LOWEST, _HIGHEST = 1.0, 10.0  # the scale that MT-bench's prompts ask for


def grade_rating(
    response: str,
    label: str | Sequence[str] = (),
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
) -> Verdict:
    """Read a rating such as [[8]]: the last one counts, one beyond 1 to 10 counts not at all.

    Returns:
        A verdict whose score is the rating; unparsed, with no score, where there is none.
    """
    del label, options
    cleaned = clean(response)
    ratings = [] if cleaned.unclosed else list(_RATING.finditer(cleaned.text))
    if not ratings:
        return _nothing(finish_reason, "unclosed-reasoning" if cleaned.unclosed else "no-rating")
    value = float(ratings[-1][1])
    if not _LOWEST <= value <= _HIGHEST:
        return _nothing(finish_reason, "out-of-range")
    return Verdict(
        status=Status.CORRECT,
        score=value,
        extracted=ratings[-1][1],
        rule="last-rating",
        span=ratings[-1].span(),
    )


def grade_pairwise(
    response: str,
    label: str | Sequence[str] = (),
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
) -> Verdict:
    """Read which answer a judge prefers: [[A]], [[B]] or [[C]] for a tie.

    Where several tags differ, only one that stands alone on the last line that has any counts.

    Returns:
        A verdict whose score is "A", "B" or "tie"; unparsed, with no score, where there is none.
    """
    del label, options
    cleaned = clean(response)
    tags = [] if cleaned.unclosed else list(_WINNER.finditer(cleaned.text))
    if not tags:
        return _nothing(finish_reason, "unclosed-reasoning" if cleaned.unclosed else "no-tag")
    line = cleaned.text.rfind("\n", 0, tags[-1].start())
    if len({tag[1] for tag in tags if tag.start() > line}) > 1:
        return _nothing(finish_reason, "several-tags")
    winner = {"A": "A", "B": "B", "C": "tie"}[tags[-1][1]]
    return Verdict(
        status=Status.CORRECT,
        score=winner,
        extracted=winner,
        rule="last-tag",
        span=tags[-1].span(),
    )


def _nothing(finish_reason: str | None, rule: str) -> Verdict:
    cut = finish_reason == "length" or rule == "unclosed-reasoning"
    verdict = unanswered(Status.TRUNCATED if cut else Status.UNPARSED, rule)
    return Verdict(status=verdict.status, score=None, rule=rule)
