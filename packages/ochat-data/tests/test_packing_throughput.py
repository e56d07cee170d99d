from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data import PackingError, pack_statistics, plan_batches
from ochat_data import packing_throughput as module

any_lengths = st.lists(st.integers(1, 100), max_size=200)


@given(lengths=any_lengths, ranks=st.integers(1, 9), window=st.integers(1, 60))
def test_every_example_is_trained_once_and_no_batch_is_too_large(
    lengths: list[int], ranks: int, window: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEWEST_IN_WINDOW", window)
        patch.setattr(module, "_WINDOW_STEPS", 0)
        plan = plan_batches(lengths, capacity=100, world_size=ranks, mode="throughput")
    batches = [plan.batch(s, r).tolist() for s in range(plan.steps) for r in range(ranks)]
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in batch) <= 100 for batch in batches)
    assert all(batches[: max(0, plan.steps - 1) * ranks])


def test_ranks_are_even_where_a_batch_holds_one_longest_example() -> None:
    draws = np.random.default_rng(0)
    lengths = np.clip(draws.lognormal(6.65, 0.9, 20_000), 16, 4096).astype(np.int64)
    figures = {
        mode: pack_statistics(
            plan_batches(lengths, capacity=4096, world_size=8, mode=mode), lengths
        )
        for mode in ("random", "throughput")
    }
    even, random = figures["throughput"], figures["random"]
    assert even.cost_imbalance is not None
    assert random.cost_imbalance is not None
    assert even.cost_imbalance < 1.1 < 1.7 < random.cost_imbalance
    assert even.fill is not None
    assert even.fill > 0.999
    # The price that the default does not pay.
    assert even.homogeneity is not None
    assert random.homogeneity is not None
    assert even.homogeneity > 2 > random.homogeneity


def test_plans_are_the_same_on_every_rank_and_new_every_epoch() -> None:
    lengths = np.random.default_rng(1).integers(1, 100, 500)
    first, again, later = (
        plan_batches(lengths, capacity=300, world_size=2, epoch=epoch, mode="throughput")
        for epoch in (0, 0, 1)
    )
    assert first.indices.tolist() == again.indices.tolist()
    assert first.indices.tolist() != later.indices.tolist()


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(PackingError, match="choose random or throughput"):
        plan_batches([1], capacity=1, mode="fast")  # pyrefly: ignore[bad-argument-type]
