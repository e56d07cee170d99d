from __future__ import annotations

from collections.abc import Sequence

from ochat_eval import Question
from ochat_eval.ordering import asking_order


def question(number: int, group: str, prompt: str, max_tokens: int | None = 100) -> Question:
    return Question(
        id=str(number), group=group, family="choice", prompt=prompt, labels=("A",),
        max_tokens=max_tokens,
    )  # fmt: skip


def test_long_answers_come_first_and_unlimited_ones_are_long() -> None:
    asked = [question(1, "short", "a", 10), question(2, "long", "b", 500)]
    asked.append(question(3, "endless", "c", None))
    assert [each.id for each in asking_order(asked)] == ["3", "2", "1"]


def test_groups_stay_together_in_their_order_and_equal_beginnings_side_by_side() -> None:
    prompts = ["passage 1: x", "passage 2: x", "passage 1: y"]
    asked = [question(10 * g + i, f"g{g}", p) for i, p in enumerate(prompts) for g in (1, 2)]
    found = asking_order(asked)
    assert [each.group for each in found] == ["g1"] * 3 + ["g2"] * 3
    assert [each.prompt for each in found[:3]] == sorted(prompts)


def prefix_hits(prompts: Sequence[str], *, kept: int) -> int:
    """Characters found in a cache that keeps the last so many prompts."""
    hits, cache = 0, list[str]()
    for prompt in prompts:
        hits += max((common(prompt, other) for other in cache), default=0)
        cache = [*cache[-kept + 1 :], prompt]
    return hits


def common(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def test_a_small_prefix_cache_finds_more_than_in_an_interleaved_order() -> None:
    mixed = [question(i, f"g{i % 10}", f"{'shots of ' * 20}{i % 10}: {i}") for i in range(100)]
    grouped = [f"{i % 10} {'shots ' * 30}{i}" for i in range(100)]
    asked = [question(i, f"g{i % 10}", grouped[i]) for i in range(100)]
    assert len(asking_order(mixed)) == 100
    before = prefix_hits([each.prompt for each in asked], kept=3)
    after = prefix_hits([each.prompt for each in asking_order(asked)], kept=3)
    assert after > 5 * max(before, 1)
