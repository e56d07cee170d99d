from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ochat_data import PackingError, TokenDataset
from ochat_train import ConfigError
from ochat_train.capacity import choose_capacity, default_capacity
from ochat_train.checkpoint import RunState
from ochat_train.examples import ExampleSet
from ochat_train.run_plan import PlanSettings, RunPlan
from ochat_train.sections import share_steps

SETTINGS = PlanSettings(capacity=300)


@pytest.fixture
def examples(dataset: Path) -> ExampleSet:
    return ExampleSet(TokenDataset.open(dataset).split("train"))


@pytest.mark.parametrize(("ranks", "several"), [(1, 1), (3, 1), (1, 4), (2, 2)])
def test_every_example_is_trained_once_an_epoch_and_the_sums_are_those_of_all_batches(
    examples: ExampleSet, ranks: int, several: int
) -> None:
    settings = replace(SETTINGS, world_size=ranks, accumulation=several)
    plan = RunPlan([examples], settings, epochs=2)
    assert plan.step_tokens == 300 * ranks * several
    seen: dict[int, list[int]] = {0: [], 1: []}
    ends: list[int] = []
    for number in range(plan.total_steps):
        steps = [plan.step(number, rank) for rank in range(ranks)]
        assert all(len(step.batches) == several for step in steps)
        batches = [batch for step in steps for batch in step.batches]
        assert all(examples.lengths[batch].sum() <= 300 for batch in batches)
        chosen = np.concatenate(batches)
        assert steps[0].denominator == pytest.approx(examples.loss_weights[chosen].sum())
        assert steps[0].tokens == examples.lengths[chosen].sum()
        assert steps[0].squares == (examples.lengths[chosen] ** 2).sum()
        assert len({(step.epoch, step.denominator, step.ends_epoch) for step in steps}) == 1
        seen[steps[0].epoch] += chosen.tolist()
        if steps[0].ends_epoch:
            ends.append(number + 1)
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(len(examples)))
    assert seen[0] != seen[1]
    assert ends[-1] == plan.total_steps


def test_accumulated_batches_are_those_of_as_many_ranks(examples: ExampleSet) -> None:
    one = RunPlan([examples], replace(SETTINGS, accumulation=4), epochs=1)
    four = RunPlan([examples], replace(SETTINGS, world_size=4), epochs=1)
    for number in range(one.total_steps):
        together = [batch.tolist() for batch in one.step(number, 0).batches]
        assert together == [four.step(number, rank).batches[0].tolist() for rank in range(4)]


def test_an_average_over_sequences_divides_by_their_number(examples: ExampleSet) -> None:
    settings = replace(SETTINGS, average="sequences", groups=2)
    plan = RunPlan([examples], settings, epochs=1)
    for number in range(plan.total_steps):
        step = plan.step(number, 0)
        assert step.denominator == 2 * sum(map(len, step.batches))


def test_epochs_with_examples_of_their_own_take_turns(examples: ExampleSet, dataset: Path) -> None:
    other = ExampleSet(TokenDataset.open(dataset).split("eval"))
    plan = RunPlan([examples, other], SETTINGS, epochs=3)
    sources = [plan.step(number, 0).source for number in range(plan.total_steps)]
    assert sources[0] is sources[-1] is examples
    assert other in sources


def test_an_example_longer_than_the_capacity_is_refused(examples: ExampleSet) -> None:
    with pytest.raises(PackingError):
        RunPlan([examples], PlanSettings(capacity=5), epochs=1)


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


def _trained(plan: RunPlan, ranks: int, first: int, last: int) -> dict[int, list[int]]:
    """The examples of each epoch that the ranks train from one step to another."""
    found: dict[int, list[int]] = {}
    for number in range(first, last):
        for rank in range(ranks):
            step = plan.step(number, rank)
            found.setdefault(step.epoch, []).extend(np.concatenate(step.batches).tolist())
    return found


@pytest.mark.parametrize("stopped", [1, 3, 5, 8])
@pytest.mark.parametrize(("before", "after"), [(4, 1), (4, 3), (1, 2), (2, 5)])
def test_another_number_of_ranks_trains_exactly_what_is_left(
    examples: ExampleSet, before: int, after: int, stopped: int
) -> None:
    settings = replace(SETTINGS, world_size=before)
    begun = RunPlan([examples], settings, epochs=3)
    state = RunState(
        step=stopped,
        tokens=0,
        dataset="",
        world_size=before,
        settings={},
        sections=share_steps(None, before, 1).sections,
    )
    sharing = share_steps(state, after, 1)
    shared = replace(
        settings,
        world_size=after,
        accumulation=sharing.accumulation,
        sections=sharing.sections,
    )
    resumed = RunPlan([examples], shared, epochs=3)
    assert sharing.note
    assert (resumed.total_steps == begun.total_steps) == (after < before)
    done = _trained(begun, before, 0, stopped)
    left = _trained(resumed, after, stopped, resumed.total_steps)
    everything = list(range(len(examples)))
    for epoch in range(3):
        assert sorted(done.get(epoch, []) + left.get(epoch, [])) == everything
    steps = [resumed.step(number, 0) for number in range(resumed.total_steps)]
    assert sum(step.ends_epoch for step in steps) == 3
    places = [resumed.schedule_position(number) for number in range(stopped, resumed.total_steps)]
    assert places[0] == stopped
    assert places == sorted(places)
    assert begun.total_steps - 4 <= places[-1] <= begun.total_steps - 1 or after > before


def test_growing_twice_loses_and_repeats_nothing(examples: ExampleSet) -> None:
    sections = ((0, 1), (3, 2), (4, 3))
    one = RunPlan([examples], replace(SETTINGS, sections=sections[:1]), epochs=2)
    two = RunPlan([examples], replace(SETTINGS, world_size=2, sections=sections[:2]), epochs=2)
    three = RunPlan([examples], replace(SETTINGS, world_size=3, sections=sections), epochs=2)
    seen = _trained(one, 1, 0, 3)[0] + _trained(two, 2, 3, 4)[0]
    left = _trained(three, 3, 4, three.total_steps)
    assert sorted(seen + left[0]) == sorted(left[1]) == list(range(len(examples)))
    places = [one.schedule_position(2), two.schedule_position(3), three.schedule_position(4)]
    assert places == sorted(places)
    assert three.nominal_steps == one.total_steps
