"""The load: so many streams at the same time, and when each of their chunks came.

What the times add up to is `report`'s business.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ochat_serve.bench.client import EndpointError

if TYPE_CHECKING:
    from ochat_serve.bench.client import Endpoint

_WORDS = (
    *("river", "stone", "window", "letter", "garden", "music", "winter", "bridge", "market"),
    *("paper", "silver", "forest", "answer", "summer", "mirror", "engine", "harbour", "candle"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked.

    Attributes:
        model: Model name.
        requests: How many requests.
        concurrency: How many at the same time.
        prompt_words: Words of a prompt; each prompt is another one.
        max_tokens: Most tokens of an answer.
        temperature: 0 takes the most probable token.
        seed: Makes the prompts reproducible.
        extra: Further fields of the body.
    """

    model: str
    requests: int
    concurrency: int
    prompt_words: int = 50
    max_tokens: int = 128
    temperature: float = 1.0
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Sample:
    """One request, in seconds of one clock.

    Attributes:
        started: When it was sent.
        chunks: When each chunk with text came.
        ended: When it was over.
        prompt_tokens: As the endpoint counted.
        tokens: Tokens of the answer, as the endpoint counted; its chunks where it does not tell.
        error: Why it failed; "" where it did not.
    """

    started: float = 0.0
    chunks: list[float] = field(default_factory=list)
    ended: float = 0.0
    prompt_tokens: int = 0
    tokens: int = 0
    error: str = ""


async def run(endpoint: Endpoint, load: Load) -> list[Sample]:
    """Put the load on the endpoint, a new request as soon as one is over."""
    numbers = iter(range(load.requests))
    samples: list[Sample] = []

    async def worker() -> None:
        for number in numbers:
            sample = await _one(endpoint, load, number)
            samples.append(sample)

    await asyncio.gather(*(worker() for _ in range(min(load.concurrency, load.requests))))
    return samples


async def _one(endpoint: Endpoint, load: Load, number: int) -> Sample:
    words = random.Random(f"{load.seed}-{number}").choices(_WORDS, k=load.prompt_words)  # noqa: S311
    body = {
        "model": load.model,
        "messages": [{"role": "user", "content": " ".join(words)}],
        "max_tokens": load.max_tokens,
        "temperature": load.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        **load.extra,
    }
    sample = Sample(started=time.perf_counter())
    try:
        async with aclosing(endpoint.events("/chat/completions", body)) as events:
            async for event in events:
                _take(sample, event)
    except EndpointError as error:
        sample.error = str(error)
    sample.ended = time.perf_counter()
    sample.tokens = sample.tokens or len(sample.chunks)
    return sample


def _take(sample: Sample, event: dict[str, Any]) -> None:
    usage = event.get("usage")
    if usage:
        sample.prompt_tokens, sample.tokens = usage["prompt_tokens"], usage["completion_tokens"]
    if any(choice.get("delta", {}).get("content") for choice in event.get("choices", ())):
        sample.chunks.append(time.perf_counter())
