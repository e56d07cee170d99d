"""The outputs of one vLLM request, with as little work between tokens as vLLM's client allows.

What `AsyncLLM.generate` does, from the same public parts; but a waiting request is woken by a bare
future. An `asyncio.Event` for every token of every stream costs a tenth of the front's time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    # pyrefly: ignore[missing-import]
    from vllm import SamplingParams

    # pyrefly: ignore[missing-import]
    from vllm.inputs import EngineInput

    # pyrefly: ignore[missing-import]
    from vllm.lora.request import LoRARequest

    # pyrefly: ignore[missing-import]
    from vllm.outputs import RequestOutput

    # pyrefly: ignore[missing-import]
    from vllm.v1.engine.async_llm import AsyncLLM


class OneWaiterEvent:
    """What an `asyncio.Event` is to a single waiter."""

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        """Begin unset."""
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake the waiter."""
        self._set = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def clear(self) -> None:
        """Let the next wait last until it is set again."""
        self._set = False

    def wait(self) -> asyncio.Future[None]:
        """What is done once the event is set."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._set:
            waiter.set_result(None)
        else:
            self._waiter = waiter
        return waiter


async def outputs_of(
    llm: AsyncLLM,
    prompt: EngineInput,
    sampling: SamplingParams,
    request_id: str,
    lora_request: LoRARequest | None,
) -> AsyncGenerator[RequestOutput]:
    """What vLLM answers to one prompt; closing it early aborts the request.

    Raises:
        VLLMError: VLLM refuses the request, or it failed; as `EngineDeadError` its engine is dead.
    """
    collector = await llm.add_request(request_id, prompt, sampling, lora_request=lora_request)
    # Another version may wake its readers in another way, which is then left as it is.
    if isinstance(getattr(collector, "ready", None), asyncio.Event):
        collector.ready = OneWaiterEvent()
    finished = False
    try:
        while not finished:
            output = collector.get_nowait() or await collector.get()
            finished = output.finished
            yield output
    finally:
        if not (finished or llm.errored):
            await llm.abort(collector.request_id, internal=True)
