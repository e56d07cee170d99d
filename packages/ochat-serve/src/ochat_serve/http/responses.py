"""The two shapes of an answer on the wire: one JSON document, or a stream of events.

Both run the engine inside the response, where the client's going away can be heard; then the
iterator of the chat layer is closed, which aborts the engine's request.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response

from ochat_serve.errors import EngineError
from ochat_serve.http.errors import describe
from ochat_serve.http.sse import DONE, ChunkWriter, error_event, usage_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from starlette.types import Receive, Scope, Send

    from ochat_serve.chat import ChatService, Delta, PreparedChat
    from ochat_serve.request_log import RequestLog

_SSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream
]


class Exchange:
    """One chat request being answered: its deltas, what they add up to, and its log line.

    Attributes:
        chat: The request.
        created: When it began, in seconds since 1970.
        tokens: Tokens generated so far, of all answers.
        reasons: Finish reason of each answer, None while it goes on.
    """

    def __init__(self, service: ChatService, chat: PreparedChat, log: RequestLog) -> None:
        """Nothing runs before `run` is called."""
        self.chat = chat
        self.created = int(time.time())
        self.tokens = 0
        self.reasons: list[str | None] = [None] * chat.request.n
        self._service = service
        self._log = log

    async def deltas(self) -> AsyncGenerator[Delta]:
        """The chat layer's deltas, counted on their way."""
        async with aclosing(self._service.stream(self.chat)) as deltas:
            async for delta in deltas:
                self.tokens += delta.tokens
                self.reasons[delta.index] = delta.finish_reason
                yield delta

    async def run(self, receive: Receive, work: Coroutine[None, None, bool]) -> None:
        """Run `work` to the end or until the client goes away, and write the log line.

        Args:
            receive: Where the client's going away is heard.
            work: Sends the answer; gives whether it could be sent to its end.
        """
        started = time.monotonic()
        outcome = "error"
        try:
            whole = await _until_disconnected(receive, work)
            if whole is None:
                outcome = "disconnected"
            elif whole:
                outcome = ",".join(str(reason) for reason in self.reasons)
        finally:
            self._log.write(
                self.chat,
                completion_tokens=self.tokens,
                seconds=time.monotonic() - started,
                outcome=outcome,
            )


class WholeAnswer(Response):
    """`chat.completion`: everything at the end."""

    def __init__(self, exchange: Exchange) -> None:
        """Remember what to run; nothing happens before the response is called."""
        super().__init__()
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Generate, then send."""
        await self._exchange.run(receive, self._work(scope, receive, send))

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> bool:
        exchange = self._exchange
        texts: list[list[str]] = [[] for _ in exchange.reasons]
        async with aclosing(exchange.deltas()) as deltas:
            async for delta in deltas:
                texts[delta.index].append(delta.text)
        body = _document(exchange, ["".join(text) for text in texts])
        await Response(body, media_type="application/json")(scope, receive, send)
        return True


def _document(exchange: Exchange, texts: list[str]) -> bytes:
    """OpenAI's chat completion object."""
    document = {
        "id": exchange.chat.request_id,
        "object": "chat.completion",
        "created": exchange.created,
        "model": exchange.chat.request.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
            for index, (text, reason) in enumerate(zip(texts, exchange.reasons, strict=True))
        ],
        "usage": usage_json(len(exchange.chat.prompt_ids), exchange.tokens),
    }
    return json.dumps(document, separators=(",", ":")).encode()


class StreamedAnswer(Response):
    """`chat.completion.chunk` events.

    The headers leave with the first one, so that an engine which fails before it answers with a
    status and not with a broken stream.
    """

    def __init__(self, exchange: Exchange, *, include_usage: bool) -> None:
        """Prepare the chunks; nothing runs before the response is called."""
        super().__init__()
        self._exchange = exchange
        self._include_usage = include_usage
        self._writer = ChunkWriter(
            completion_id=exchange.chat.request_id,
            created=exchange.created,
            model=exchange.chat.request.model,
            choices=len(exchange.reasons),
            include_usage=include_usage,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send deltas as they come."""
        await self._exchange.run(receive, self._work(send))

    async def _work(self, send: Send) -> bool:
        exchange, begun = self._exchange, False
        try:
            async with aclosing(exchange.deltas()) as deltas:
                async for delta in deltas:
                    data = self._writer.delta(delta)
                    if not begun:
                        begun = True
                        await send(
                            {"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS}
                        )
                        data = self._roles() + data
                    if data:
                        await _send_data(send, data)
        except EngineError as error:
            if not begun:
                raise
            await _send_data(send, error_event(describe(error)[1]) + DONE, last=True)
            return False
        await _send_data(send, self._usage() + DONE, last=True)
        return True

    def _roles(self) -> bytes:
        return b"".join(self._writer.role(index) for index in range(len(self._exchange.reasons)))

    def _usage(self) -> bytes:
        exchange = self._exchange
        if not self._include_usage:
            return b""
        return self._writer.usage(len(exchange.chat.prompt_ids), exchange.tokens)


async def _send_data(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})


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
