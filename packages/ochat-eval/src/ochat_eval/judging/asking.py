"""Asks a judge: what is stored is not asked again, as many calls at a time as the judge takes.

A call's retries and waiting for Retry-After are the client's business.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from ochat_eval.backends.base import Reply
from ochat_eval.backends.client import ChatClient
from ochat_eval.config import RunConfig
from ochat_eval.judging.calls import Call
from ochat_eval.judging.journal import Journal, Said
from ochat_eval.limit import Limit

SCRIPTED = "scripted"
_WORD = re.compile(r"\w+")


class Judge(Protocol):
    """Answers calls; an asynchronous context manager."""

    @property
    def name(self) -> str:
        """Of the judge, as it is written into results."""
        ...

    async def __aenter__(self) -> Self:
        """Open connections, if any."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them."""
        ...

    async def ask(self, call: Call, on_throttle: Callable[[], None]) -> Reply:
        """Answer one call."""
        ...


class ServedJudge:
    """A model behind an OpenAI-compatible server."""

    def __init__(self, config: RunConfig) -> None:
        """Remember where it is; nothing is sent yet."""
        self._client, self.name = ChatClient(config), config.model

    async def __aenter__(self) -> Self:
        """Open connections and make sure that the judge is there."""
        await self._client.__aenter__()
        try:
            await self._client.check_model()
        except BaseException:
            await self._client.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close connections."""
        await self._client.__aexit__(kind, error, trace)

    async def ask(self, call: Call, on_throttle: Callable[[], None]) -> Reply:
        """Send one call."""
        return await self._client.ask(call.request(self.name), on_throttle=on_throttle)


class ScriptedJudge:
    """Judges by a fixed rule, without any model: the more different words, the better.

    For dry runs and tests of everything around a judge. Its figures say nothing about a model.
    """

    name = SCRIPTED

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    async def ask(self, call: Call, on_throttle: Callable[[], None]) -> Reply:
        """Judge one call."""
        del on_throttle
        ratings = [scripted_rating(answer) for answer in call.answers]
        if len(ratings) == 1:
            return Reply(text=f"By a fixed rule. Rating: [[{ratings[0]}]]", finish_reason="stop")
        letter = "C" if ratings[0] == ratings[1] else "AB"[ratings[1] > ratings[0]]
        return Reply(text=f"By a fixed rule. [[{letter}]]", finish_reason="stop")


def scripted_rating(answer: str) -> int:
    """From 1 for nothing to 10 for 45 different words or more."""
    return 1 + min(9, len(set(_WORD.findall(answer.lower()))) // 5)


def ask_judge(
    judge: Judge,
    calls: Sequence[Call],
    journal: Journal,
    *,
    concurrency: int = 16,
    progress: TextIO | None = None,
) -> list[Said]:
    """Every call's reply in order; those that the journal has are not asked for again.

    Raises:
        ServerError: The judge cannot be asked; what came before is stored, the same call resumes.
    """
    missing = {
        call.key(judge.name): call for call in calls if not journal.get(call.key(judge.name))
    }
    failed: dict[str, Said] = {}
    if missing:
        with journal:
            asyncio.run(_ask_all(judge, missing, journal, failed, concurrency, progress))
    keys = [call.key(judge.name) for call in calls]
    return [journal.get(key) or failed[key] for key in keys]


async def _ask_all(
    judge: Judge,
    missing: dict[str, Call],
    journal: Journal,
    failed: dict[str, Said],
    concurrency: int,
    progress: TextIO | None,
) -> None:
    limit, waiting = Limit(most=concurrency), iter(missing.items())
    running: set[asyncio.Task[Said]] = set()
    done = 0

    async def one(key: str, call: Call) -> Said:
        reply = await judge.ask(call, limit.throttle)
        if reply.error is None:
            limit.succeed()
        return Said.of(key, reply)

    async with judge:
        try:
            while True:
                for key, call in _next(waiting, limit.allowed - len(running)):
                    running.add(asyncio.create_task(one(key, call)))
                if not running:
                    break
                ended, running = await asyncio.wait(running, return_when="FIRST_COMPLETED")
                for task in ended:
                    said = task.result()
                    journal.add(said)
                    if said.passing:
                        failed[said.key] = said
                done += len(ended)
                if progress and (progress.isatty() or not done % 100):
                    progress.write(f"\rjudged {done} of {len(missing)}")
        finally:
            for task in running:
                task.cancel()
            if progress:
                progress.write(f"\rjudged {done} of {len(missing)}\n")


def _next(waiting: Iterator[tuple[str, Call]], most: int) -> Iterator[tuple[str, Call]]:
    for _, each in zip(range(most), waiting, strict=False):
        yield each
