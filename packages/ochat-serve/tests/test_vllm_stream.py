"""Reading vLLM's outputs, without vLLM: a collector of the same shape, filled by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from ochat_serve.engine.vllm_stream import OneWaiterEvent, outputs_of


@dataclass
class Output:
    number: int
    finished: bool = False


class Collector:
    """As vLLM's: what is not read yet is kept, the reader is woken by an event."""

    def __init__(self) -> None:
        self.request_id = "internal"
        self.kept: list[Output | Exception] = []
        self.ready: Any = asyncio.Event()

    def put(self, output: Output | Exception) -> None:
        self.kept.append(output)
        self.ready.set()

    def get_nowait(self) -> Output | None:
        if not self.kept:
            return None
        output = self.kept.pop(0)
        if not self.kept:
            self.ready.clear()
        if isinstance(output, Exception):
            raise output
        return output

    async def get(self) -> Output:
        while (output := self.get_nowait()) is None:
            await self.ready.wait()
        return output


class Client:
    """Stands for `AsyncLLM`."""

    def __init__(self) -> None:
        self.collector = Collector()
        self.aborted: list[str] = []
        self.errored = False

    async def add_request(self, *_: object, **__: object) -> Collector:
        return self.collector

    async def abort(self, name: str, *, internal: bool) -> None:
        assert internal
        self.aborted.append(name)


def outputs(client: Client) -> AsyncGenerator[Any]:
    given: Any = client
    return outputs_of(given, {"prompt": "x"}, None, "mine", None)


def test_outputs_come_in_order_however_they_were_put() -> None:
    async def run() -> None:
        client = Client()

        async def put() -> None:
            for number in range(20):
                # Sometimes several before the reader runs again, sometimes none.
                if number % 3:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                client.collector.put(Output(number, finished=number == 19))

        writing = asyncio.ensure_future(put())
        found = [output.number async for output in outputs(client)]
        await writing
        assert found == list(range(20))
        assert isinstance(client.collector.ready, OneWaiterEvent)
        assert not client.aborted

    asyncio.run(asyncio.wait_for(run(), 30))


def test_what_is_left_early_is_aborted_unless_the_engine_is_dead() -> None:
    async def run(*, dead: bool) -> list[str]:
        client = Client()
        client.collector.put(Output(0))
        async with aclosing(outputs(client)) as found:
            await anext(found)
            client.errored = dead
        return client.aborted

    assert asyncio.run(run(dead=False)) == ["internal"]
    assert asyncio.run(run(dead=True)) == []


def test_a_reader_that_is_cancelled_aborts_and_one_that_fails_hears_why() -> None:
    async def cancelled() -> list[str]:
        client = Client()
        reading = asyncio.ensure_future(anext(outputs(client)))
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return client.aborted

    async def failing() -> None:
        client = Client()
        client.collector.put(ValueError("too long"))
        async for _ in outputs(client):
            pass

    assert asyncio.run(cancelled()) == ["internal"]
    with pytest.raises(ValueError, match="too long"):
        asyncio.run(failing())


def test_an_event_set_before_the_wait_does_not_wait() -> None:
    async def run() -> None:
        event = OneWaiterEvent()
        event.set()
        await event.wait()
        event.clear()
        waiting = event.wait()
        assert not waiting.done()
        event.set()
        await waiting

    asyncio.run(asyncio.wait_for(run(), 30))
