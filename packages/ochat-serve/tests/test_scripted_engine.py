"""The engine without a model."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from ochat_serve import EngineDeadError, SamplingParams, ScriptedEngine, TokenEvent


async def collect(
    engine: ScriptedEngine, sampling: SamplingParams, prompt: tuple[int, ...] = (1, 2)
) -> list[TokenEvent]:
    return [event async for event in engine.generate(prompt, sampling, "r")]


async def started(engine: ScriptedEngine) -> ScriptedEngine:
    await engine.start()
    return engine


def ids_and_reason(events: list[TokenEvent]) -> tuple[list[int], str | None]:
    return [i for event in events for i in event.token_ids], events[-1].finish_reason


@pytest.mark.parametrize(
    ("sampling", "ids", "reason"),
    [
        (SamplingParams(max_tokens=10), [5, 6, 7], "stop"),
        (SamplingParams(max_tokens=2), [5, 6], "length"),
        (SamplingParams(max_tokens=10, stop_ids=(6,)), [5, 6], "stop"),
        (SamplingParams(max_tokens=2, stop_ids=(6,)), [5, 6], "stop"),
    ],
)
def test_the_script_ends_at_a_stop_id_or_at_the_length(
    sampling: SamplingParams, ids: list[int], reason: str
) -> None:
    async def run() -> list[TokenEvent]:
        return await collect(await started(ScriptedEngine([5, 6, 7])), sampling)

    assert ids_and_reason(asyncio.run(run())) == (ids, reason)


def test_the_echo_is_the_last_finished_turn_and_a_stop_id() -> None:
    async def run() -> list[TokenEvent]:
        prompt = (1, 10, 11, 99, 20, 21, 99, 30)
        engine = await started(ScriptedEngine())
        return await collect(engine, SamplingParams(max_tokens=50, stop_ids=(99,)), prompt)

    assert ids_and_reason(asyncio.run(run())) == ([20, 21, 99], "stop")


def test_closing_the_iterator_counts_as_aborted() -> None:
    async def run() -> ScriptedEngine:
        engine = await started(ScriptedEngine([5] * 100))
        events = engine.generate([1], SamplingParams(max_tokens=100), "r")
        async with aclosing(events):
            await anext(events)
            assert engine.running == 1
        return engine

    engine = asyncio.run(run())
    assert (engine.running, engine.aborted) == (0, 1)


def test_a_stopped_engine_takes_no_requests() -> None:
    async def run() -> None:
        engine = await started(ScriptedEngine([5]))
        await engine.stop()
        await collect(engine, SamplingParams())

    with pytest.raises(EngineDeadError, match="not running"):
        asyncio.run(run())


def test_requested_names_the_fields_that_are_not_neutral() -> None:
    assert SamplingParams().requested() == frozenset()
    assert SamplingParams(temperature=0.0, seed=0).requested() == {"temperature", "seed"}
