"""Very many streams at once: every token arrives, once, in order, at whom it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ochat_serve import ScriptedEngine
from ochat_serve.bench.client import Endpoint
from ochat_serve.testing import LocalServer


@pytest.mark.parametrize("count", [150, pytest.param(2_000, marks=pytest.mark.slow)])
def test_no_token_of_many_streams_is_lost_or_misplaced(
    serve: Callable[..., LocalServer], count: int
) -> None:
    """The engine gives every question back, so each answer has to be its own question."""
    engine = ScriptedEngine(tokens_per_second=20, max_model_len=4096)
    endpoint = Endpoint(url=serve(engine).url)
    most = 0

    async def read(number: int) -> None:
        nonlocal most
        question = " ".join(f"{number}.{step}" for step in range(6))
        body = {
            "model": "toy",
            "messages": [{"role": "user", "content": question}],
            "stream": True,
        }
        text = ""
        async for event in endpoint.events("/chat/completions", body):
            most = max(most, engine.running)
            for choice in event["choices"]:
                text += choice["delta"].get("content", "")
        assert text == f"GPT4 User: {question}"

    async def read_all() -> None:
        await asyncio.gather(*map(read, range(count)))

    asyncio.run(read_all())
    assert most > 0.5 * count
    assert (engine.running, engine.aborted) == (0, 0)
