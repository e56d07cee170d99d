"""One request being answered: its deltas and what they add up to.

Runs the engine inside the response, where the client's going away can be heard; then the iterator
of the chat layer is closed, which aborts the engine's request.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from starlette.types import Receive

    from ochat_serve.chat import ChatService, Delta, PreparedChat
    from ochat_serve.record import RequestRecord


class Exchange:
    """One request being answered.

    Attributes:
        name: Id of the answer.
        model: The model name that the caller used.
        created: When it began, in seconds since 1970.
        fingerprint: Tells template and tokenizer from others.
        prompt_tokens: Tokens of all prompts.
        cached_tokens: Those of them that were not computed anew; None where nobody says.
        tokens: Tokens generated so far, of all answers.
        reasons: Finish reason of each answer, None while it goes on.
    """

    def __init__(
        self, service: ChatService, chats: Sequence[PreparedChat], record: RequestRecord
    ) -> None:
        """Nothing runs before `run` is called."""
        first = chats[0]
        self.name = first.request_id.removesuffix("-0") if len(chats) > 1 else first.request_id
        self.model = first.request.model
        self.created = int(time.time())
        self.fingerprint = f"fp_{service.model.codec.fingerprint.digest[:12]}"
        self.prompt_tokens = sum(len(chat.prompt_ids) for chat in chats)
        self.cached_tokens: int | None = None
        self.tokens = 0
        self._n = first.request.n
        self.reasons: list[str | None] = [None] * (self._n * len(chats))
        self._service, self._chats, self._record = service, chats, record
        record.describe(self.name, chats)

    def deltas(self) -> AsyncGenerator[Delta]:
        """Those of the chat layer; whoever reads one tells `count`."""
        return self._service.stream_all(self._chats)

    def count(self, delta: Delta) -> None:
        """Add a delta to the numbers."""
        record = self._record
        self.tokens += delta.tokens
        self.reasons[delta.index] = delta.finish_reason
        # All answers to a prompt have the same one; the first speaks for it.
        if delta.cached_tokens is not None and delta.index % self._n == 0:
            self.cached_tokens = (self.cached_tokens or 0) + delta.cached_tokens
        if record.first_token is None:
            record.first_token = time.monotonic()
        if record.texts is not None:
            record.texts[delta.index] += delta.text

    async def run(self, receive: Receive, work: Coroutine[None, None, bool]) -> None:
        """Run `work` to the end or until the client goes away, and note what became of it.

        Args:
            receive: Where the client's going away is heard.
            work: Sends the answer; gives whether it could be sent to its end.
        """
        outcome = "error"
        try:
            whole = await _until_disconnected(receive, work)
            if whole is None:
                outcome = "disconnected"
            elif whole:
                outcome = ",".join(str(reason) for reason in self.reasons)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._record.completion_tokens = self.tokens
            self._record.outcome = outcome


async def _until_disconnected(receive: Receive, work: Coroutine[None, None, bool]) -> bool | None:
    """The result of `work`, or None if the client went away first; then `work` is cancelled."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
