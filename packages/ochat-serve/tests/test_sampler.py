"""Choosing a token: each parameter does what its name says."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ochat_serve import EngineError, SamplingParams
from ochat_serve.engine.sampler import Sampler

LOGITS = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])


def draws(sampling: SamplingParams, times: int = 400) -> Counter[int]:
    """Independent first tokens."""
    sampler = Sampler(sampling, [])
    counts: Counter[int] = Counter()
    for _ in range(times):
        sampler._counts.clear()
        counts[sampler.choose(LOGITS)] += 1
    return counts


def test_temperature_zero_takes_the_best_token() -> None:
    assert draws(SamplingParams(temperature=0.0)) == {4: 400}


def test_neutral_sampling_follows_the_models_distribution() -> None:
    counts = draws(SamplingParams(seed=1), times=4000)
    expected = torch.softmax(LOGITS, -1) * 4000
    for token, count in counts.items():
        assert abs(count - expected[token]) < 5 * expected[token] ** 0.5 + 1


def test_top_k_keeps_the_k_best() -> None:
    assert set(draws(SamplingParams(top_k=2, temperature=5.0, seed=1))) == {3, 4}


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    # Probabilities 0.636, 0.234, 0.086, ...: 0.7 needs the best two, 0.5 the best one.
    assert set(draws(SamplingParams(top_p=0.7, seed=1))) == {3, 4}
    assert set(draws(SamplingParams(top_p=0.5, seed=1))) == {4}


def test_min_p_is_relative_to_the_best_token() -> None:
    # e**-1 = 0.37 and e**-2 = 0.14 of the best.
    assert set(draws(SamplingParams(min_p=0.2, seed=1))) == {3, 4}


def test_the_same_seed_draws_the_same_tokens() -> None:
    def run(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=3.0, seed=seed), [])
        return [sampler.choose(LOGITS) for _ in range(30)]

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_penalties_turn_greedy_choice_away_from_what_was_said() -> None:
    def run(sampling: SamplingParams, prompt: list[int]) -> list[int]:
        sampler = Sampler(sampling, prompt)
        return [sampler.choose(LOGITS) for _ in range(3)]

    assert run(SamplingParams(temperature=0.0, presence_penalty=1.5), [4]) == [4, 3, 4]
    assert run(SamplingParams(temperature=0.0, frequency_penalty=1.5), [4]) == [4, 3, 4]
    # The only one that counts the prompt too: 4 / 1.8 = 2.2 is less than 3.
    assert run(SamplingParams(temperature=0.0, repetition_penalty=1.8), [4]) == [3, 4, 4]


def test_no_stop_id_is_chosen_before_min_tokens() -> None:
    sampler = Sampler(SamplingParams(temperature=0.0, min_tokens=2, stop_ids=(4,)), [])
    assert [sampler.choose(LOGITS) for _ in range(3)] == [3, 3, 4]


def test_logits_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(EngineError, match="not finite"):
        Sampler(SamplingParams(), []).choose(torch.tensor([0.0, float("nan")]))


def test_the_models_logits_are_left_alone() -> None:
    logits = LOGITS.clone()
    Sampler(SamplingParams(top_k=1, repetition_penalty=2.0), [4]).choose(logits)
    assert torch.equal(logits, LOGITS)
