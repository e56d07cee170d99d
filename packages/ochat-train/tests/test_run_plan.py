from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ochat_data import PackingError, TokenDataset, TokenSplit
from ochat_train import ConfigError, DataError
from ochat_train.capacity import choose_capacity, default_capacity
from ochat_train.run_plan import RunPlan


@pytest.fixture
def split(dataset: Path) -> TokenSplit:
    return TokenDataset.open(dataset).split("train")


@pytest.mark.parametrize("world_size", [1, 3])
def test_every_example_is_trained_once_an_epoch_and_the_sums_are_those_of_all_ranks(
    split: TokenSplit, world_size: int
) -> None:
    plan = RunPlan(split, capacity=300, world_size=world_size, seed=0, epochs=2)
    seen: dict[int, list[int]] = {0: [], 1: []}
    ends: list[int] = []
    for number in range(plan.total_steps):
        steps = [plan.step(number, rank) for rank in range(world_size)]
        examples = np.concatenate([step.examples for step in steps])
        assert steps[0].denominator == pytest.approx(split.loss_weights[examples].sum())
        assert steps[0].tokens == split.lengths[examples].sum()
        assert len({(step.epoch, step.denominator, step.ends_epoch) for step in steps}) == 1
        seen[steps[0].epoch] += examples.tolist()
        if steps[0].ends_epoch:
            ends.append(number + 1)
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(len(split)))
    assert seen[0] != seen[1]
    assert ends[-1] == plan.total_steps


def test_a_split_without_supervision_is_refused(split: TokenSplit) -> None:
    split.loss_weights = np.zeros_like(split.loss_weights)
    with pytest.raises(DataError, match="nothing to learn"):
        RunPlan(split, capacity=300, world_size=1, seed=0, epochs=1)


def test_an_example_longer_than_the_capacity_is_refused(split: TokenSplit) -> None:
    with pytest.raises(PackingError):
        RunPlan(split, capacity=5, world_size=1, seed=0, epochs=1)


def test_the_default_capacity_holds_four_of_the_longest() -> None:
    assert default_capacity(1) == 1024
    assert default_capacity(256) == 1024
    assert default_capacity(257) == 2048
    assert default_capacity(4096) == 16384
    assert choose_capacity(None, 257) == 2048


def test_a_capacity_below_the_longest_example_says_how_much_is_needed() -> None:
    assert choose_capacity(257, 257) == 257
    with pytest.raises(ConfigError, match="at least 257"):
        choose_capacity(256, 257)
