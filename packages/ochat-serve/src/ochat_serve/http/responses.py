"""The two shapes of an answer on the wire: one JSON document, or a stream of events.

What they say is the wire format's business (`wire` and its implementations).
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response

from ochat_serve.errors import EngineError
from ochat_serve.http.errors import describe
from ochat_serve.http.gate import direct_send
from ochat_serve.http.wire import AnswerParts

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ochat_serve.http.exchange import Exchange
    from ochat_serve.http.wire import Wire

_SSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream
]


class WholeAnswer(Response):
    """Everything at the end, as one JSON document."""

    def __init__(self, exchange: Exchange, wire: Wire) -> None:
        """Remember what to run; nothing happens before the response is called."""
        super().__init__()
        self._exchange, self._wire = exchange, wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Generate, then send."""
        await self._exchange.run(receive, self._work(scope, receive, send))

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> bool:
        exchange = self._exchange
        parts = [AnswerParts() for _ in exchange.reasons]
        async with aclosing(exchange.deltas()) as deltas:
            async for delta in deltas:
                exchange.count(delta)
                parts[delta.index].texts.append(delta.text)
                parts[delta.index].scored.extend(delta.scored)
        body = json.dumps(self._wire.document(parts), separators=(",", ":")).encode()
        await Response(body, media_type="application/json")(scope, receive, send)
        return True


class StreamedAnswer(Response):
    """Server-sent events.

    The headers leave with the first one, so that an engine which fails before it answers with a
    status and not with a broken stream.
    """

    def __init__(self, exchange: Exchange, wire: Wire) -> None:
        """Nothing runs before the response is called."""
        super().__init__()
        self._exchange, self._wire = exchange, wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send deltas as they come."""
        await self._exchange.run(receive, self._work(send, direct_send(scope, send)))

    async def _work(self, send: Send, direct: Send) -> bool:
        wire, exchange, begun, rest = self._wire, self._exchange, False, b""
        try:
            async with aclosing(exchange.deltas()) as deltas:
                async for delta in deltas:
                    exchange.count(delta)
                    if begun:
                        data = wire.delta(delta)
                    else:
                        begun = True
                        await send(
                            {"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS}
                        )
                        data = wire.opening() + wire.delta(delta)
                    if delta.finish_reason is not None and None not in exchange.reasons:
                        rest = data  # leaves with the closing, in one packet
                    elif data:
                        await direct(
                            {"type": "http.response.body", "body": data, "more_body": True}
                        )
        except EngineError as error:
            if not begun:
                raise
            await _send_data(send, wire.failure(describe(error)[1]), last=True)
            return False
        await _send_data(send, rest + wire.closing(), last=True)
        return True


async def _send_data(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})
