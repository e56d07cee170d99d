from __future__ import annotations

import time

import numpy as np
import pytest

from ochat_data import PackingError, PackPlan, pack_statistics, plan_batches


def by_hand(*batches: list[int], ranks: int, capacity: int) -> PackPlan:
    return PackPlan(
        steps=len(batches) // ranks,
        world_size=ranks,
        capacity=capacity,
        indices=np.array([i for batch in batches for i in batch], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, batches)]).astype(np.int64),
    )


def test_the_figures_are_those_of_their_definition() -> None:
    lengths = [6, 2, 4, 4, 8, 3, 1]
    plan = by_hand([0, 1], [2], [3], [4], [5], [6], ranks=2, capacity=10)
    figures = pack_statistics(plan, lengths)
    assert figures.steps == 3
    assert figures.fill == pytest.approx((8 + 4 + 4 + 8) / 40)
    assert figures.token_imbalance == pytest.approx((8 / 6 + 8 / 6) / 2)
    assert figures.cost_imbalance == pytest.approx((40 / 28 + 64 / 40) / 2)
    assert figures.last_step_fill == pytest.approx(4 / 20)
    assert figures.dropped == 0
    logs = np.log(lengths)
    spread = np.std([logs[[0, 1, 2]].mean(), logs[[3, 4]].mean()])
    assert figures.homogeneity == pytest.approx(
        spread / (logs.std() * np.sqrt((1 / 3 + 1 / 2) / 2))
    )


def test_an_example_that_no_batch_holds_counts_as_dropped() -> None:
    assert pack_statistics(by_hand([0], [2], ranks=1, capacity=9), [3, 4, 5]).dropped == 1


def test_batches_sorted_by_length_are_not_homogeneous() -> None:
    lengths = np.sort(np.random.default_rng(0).integers(1, 100, 1000))
    batches = [list(range(start, start + 10)) for start in range(0, 1000, 10)]
    homogeneity = pack_statistics(by_hand(*batches, ranks=1, capacity=1000), lengths).homogeneity
    assert homogeneity is not None
    assert homogeneity > 2.5


def test_one_step_has_no_figures_over_full_steps() -> None:
    figures = pack_statistics(plan_batches([5, 5], capacity=20), [5, 5])
    assert figures.fill is None
    assert figures.homogeneity is None
    assert figures.last_step_fill == 0.5


def test_a_plan_of_other_lengths_is_refused() -> None:
    with pytest.raises(PackingError):
        pack_statistics(plan_batches([5, 5], capacity=20), [5])


@pytest.mark.parametrize("ranks", [1, 8])
def test_a_conversation_like_distribution_packs_full_even_and_random(ranks: int) -> None:
    draws = np.random.default_rng(7).lognormal(6.65, 0.9, 60_000)
    lengths = np.clip(draws, 16, 4096).astype(np.int64)
    plan_batches(np.ones_like(lengths), capacity=1)  # compiles, where numba is installed
    started = time.process_time()
    plan = plan_batches(lengths, capacity=16_384, world_size=ranks)
    seconds = time.process_time() - started
    figures = pack_statistics(plan, lengths)
    assert figures.fill is not None
    assert figures.cost_imbalance is not None
    assert figures.homogeneity is not None
    assert figures.fill >= 0.995
    assert figures.cost_imbalance <= 1.08
    assert 0.85 <= figures.homogeneity <= 1.15
    assert figures.dropped == 0
    assert seconds < 5
