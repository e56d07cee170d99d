"""In which order questions are asked: long answers first, and equal beginnings side by side.

Nine tenths of the characters of few-shot prompts are a beginning that a whole group shares: a
server that caches prefixes computes it once if the group is asked together. Long answers come
first, so that none is left to run alone at the end.
"""

from __future__ import annotations

from collections.abc import Iterable

from ochat_eval.question import Question

# Where a question sets no limit its answer may be as long as any.
_UNLIMITED = 1 << 30


def asking_order(questions: Iterable[Question]) -> list[Question]:
    """The questions by length of answer, then group by group, then by their prompts' text."""
    listed = list(questions)
    longest: dict[str, int] = {}
    place: dict[str, int] = {}
    for question in listed:
        limit = question.max_tokens or _UNLIMITED
        longest[question.group] = max(longest.get(question.group, 0), limit)
        place.setdefault(question.group, len(place))
    return sorted(listed, key=lambda each: (-longest[each.group], place[each.group], each.prompt))
