from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochat_data import PackingError, PackPlan, packing, plan_batches

CAPACITY = 100
any_lengths = st.lists(st.integers(1, CAPACITY), max_size=200)


def batches(plan: PackPlan) -> list[list[int]]:
    return [
        plan.batch(step, rank).tolist()
        for step in range(plan.steps)
        for rank in range(plan.world_size)
    ]


@given(lengths=any_lengths, ranks=st.integers(1, 9), seed=st.integers(0, 3))
def test_every_example_is_in_exactly_one_batch(lengths: list[int], ranks: int, seed: int) -> None:
    plan = plan_batches(lengths, capacity=CAPACITY, world_size=ranks, seed=seed)
    seen = [index for batch in batches(plan) for index in batch]
    assert sorted(seen) == list(range(len(lengths)))


@given(lengths=any_lengths, ranks=st.integers(1, 9), epoch=st.integers(0, 3))
def test_no_batch_holds_more_than_the_capacity(lengths: list[int], ranks: int, epoch: int) -> None:
    plan = plan_batches(lengths, capacity=CAPACITY, world_size=ranks, epoch=epoch)
    assert all(sum(lengths[i] for i in batch) <= CAPACITY for batch in batches(plan))


@given(lengths=any_lengths, ranks=st.integers(1, 9), seed=st.integers(0, 3))
def test_the_same_arguments_give_the_same_plan(lengths: list[int], ranks: int, seed: int) -> None:
    first = plan_batches(lengths, capacity=CAPACITY, world_size=ranks, seed=seed, epoch=1)
    second = plan_batches(
        np.array(lengths, dtype=np.int32), capacity=CAPACITY, world_size=ranks, seed=seed, epoch=1
    )
    assert batches(first) == batches(second)


@given(lengths=any_lengths, ranks=st.integers(1, 9))
def test_a_rank_is_idle_only_in_the_last_step(lengths: list[int], ranks: int) -> None:
    plan = plan_batches(lengths, capacity=CAPACITY, world_size=ranks)
    full_steps = batches(plan)[: max(0, plan.steps - 1) * ranks]
    assert all(full_steps)


def test_epochs_and_seeds_are_packed_differently() -> None:
    lengths = np.random.default_rng(0).integers(1, CAPACITY, 500)
    plans = [
        batches(plan_batches(lengths, capacity=CAPACITY, world_size=2, seed=seed, epoch=epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert plans[0] != plans[1]
    assert plans[0] != plans[2]


def test_examples_as_long_as_the_capacity_get_a_batch_each() -> None:
    plan = plan_batches([CAPACITY] * 5, capacity=CAPACITY, world_size=2)
    assert plan.steps == 3
    assert [len(batch) for batch in batches(plan)] == [1, 1, 1, 1, 1, 0]


def test_an_epoch_without_examples_has_no_steps() -> None:
    assert plan_batches([], capacity=CAPACITY).steps == 0


def test_examples_keep_roughly_their_place_in_the_shuffled_stream() -> None:
    """What is drawn early is trained early: the look-ahead is bounded."""
    lengths = np.random.default_rng(1).integers(1, CAPACITY, 20_000)
    plan = plan_batches(lengths, capacity=CAPACITY * 8, world_size=2, seed=3)
    stream = np.random.default_rng([3, 0]).permutation(len(lengths))
    place = np.empty(len(lengths), np.int64)
    place[stream] = np.arange(len(lengths))
    displacement = np.abs(place[plan.indices] - np.arange(len(lengths)))
    assert displacement.max() < 600


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([5, 101, 7], r"example 1 has 101 tokens, more than the capacity of 100.*--max-length 100"),
        ([5, 0], r"example 1 has length 0"),
        ([0.5], r"one-dimensional array of integers"),
        ([[1, 2]], r"one-dimensional array of integers"),
    ],
)
def test_lengths_that_cannot_be_packed_are_named(lengths: list[object], message: str) -> None:
    with pytest.raises(PackingError, match=message):
        plan_batches(np.array(lengths), capacity=CAPACITY)


@pytest.mark.parametrize(
    "arguments", [{"capacity": 0}, {"world_size": 0}, {"seed": -1}, {"epoch": -1}]
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(PackingError, match="must"):
        plan_batches([1, 2], **(dict[str, Any](capacity=CAPACITY) | arguments))


@pytest.mark.parametrize(("step", "rank"), [(1, 0), (0, 2), (-1, 0), (0, -1)])
def test_a_batch_that_does_not_exist_is_refused(step: int, rank: int) -> None:
    plan = plan_batches([1, 2], capacity=CAPACITY, world_size=2)
    with pytest.raises(PackingError, match="1 steps of 2 ranks"):
        plan.batch(step, rank)


def test_an_absurd_number_of_ranks_is_refused() -> None:
    with pytest.raises(PackingError, match="at most 1,000,000, got 100,000,000,000"):
        plan_batches([5, 7], capacity=10, world_size=100_000_000_000)
    assert plan_batches([5, 7], capacity=10, world_size=1_000_000).steps == 1


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=400),
    capacity=st.integers(60, 200),
    ranks=st.sampled_from([1, 2, 3, 8]),
    look_ahead=st.sampled_from([1, 4, 64, 256]),
)
@settings(deadline=None, max_examples=200)
def test_the_plan_is_the_same_with_and_without_a_compiler(
    lengths: list[int], capacity: int, ranks: int, look_ahead: int
) -> None:
    kernel = pytest.importorskip("ochat_data.packing_kernel", exc_type=ImportError)
    packer = packing._Packer(lengths, capacity, ranks, look_ahead)
    slots, steps = kernel.pack_slots(
        np.asarray(lengths, dtype=np.int64),
        capacity=capacity,
        world_size=ranks,
        look_ahead=look_ahead,
        dealt_share=packing._DEALT_SHARE,
        quadratic_cost=packing._QUADRATIC_COST,
    )
    assert packer.run() == slots.tolist()
    assert packer.steps == steps
