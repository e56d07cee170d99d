"""From a received request to its answer: what every route that generates has in common.

Order of checks: draining, body, the key's and the server's limits, fields, messages, engine.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ochat_serve.chat import ChatRequest
from ochat_serve.errors import EngineDeadError
from ochat_serve.http.exchange import Exchange
from ochat_serve.http.fields import parse_body
from ochat_serve.http.gate import key_of
from ochat_serve.http.responses import StreamedAnswer, WholeAnswer
from ochat_serve.record import record_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeVar

    from starlette.types import Message, Receive, Scope, Send

    from ochat_serve.chat import ChatService, CompletionRequest, PreparedChat
    from ochat_serve.http.body import ChatCompletionBody, CompletionBody
    from ochat_serve.http.receiving import BodyReader
    from ochat_serve.http.response_body import ResponseBody
    from ochat_serve.http.wire import Wire
    from ochat_serve.limits import Admission, Ticket
    from ochat_serve.settings import ServerSettings

    AnyBody = ChatCompletionBody | CompletionBody | ResponseBody
    Body = TypeVar("Body", bound=AnyBody)

# Tokenising takes about a millisecond for so much text; more goes to a thread, or it would hold
# up every running stream.
_INLINE_CHARACTERS = 4_096
# Below so many running requests every token is sent alone: nothing is gained by waiting.
_CALM_REQUESTS = 4
# Without streaming nobody reads along; the engine may tell of many tokens at once.
_WHOLE_INTERVAL = 32


class Front:
    """What the routes share.

    Attributes:
        service: Answers requests.
        read: Reads bodies.
        admission: Lets requests in.
        settings: How requests are received.
        draining: Whether new requests are refused because the server stops.
    """

    def __init__(
        self,
        service: ChatService,
        read: BodyReader,
        admission: Admission,
        settings: ServerSettings,
        draining: Callable[[], bool],
    ) -> None:
        """Join the parts."""
        self.service, self.read, self.admission = service, read, admission
        self.settings, self._draining = settings, draining

    def require_open(self) -> None:
        """Return if requests may come.

        Raises:
            EngineDeadError: The server stops, or the engine is dead.
        """
        if self._draining():
            raise EngineDeadError("The server is shutting down; ask another one.")
        self.service.engine.check_health()

    async def answer(
        self, request: Request, kind: type[Body], begin: Callable[[Exchange, Body], Wire]
    ) -> Response:
        """Read, check and answer a request.

        Args:
            request: As received.
            kind: Its body.
            begin: Makes the wire format of the answer.
        """
        self.require_open()
        raw = await self.read(request)
        key = key_of(request.scope)
        ticket = self.admission.enter(key, key.limits if key else self.settings.limits)
        try:
            body = parse_body(raw, kind)
            chats = await self._prepare(body)
            self.require_open()
            record = record_of(request.scope)
            exchange = Exchange(self.service, self._tuned(chats, body, request), record)
            if self.settings.log_content:
                record.prompt, record.texts = body.content(), [""] * len(exchange.reasons)
            shape = StreamedAnswer if body.stream else WholeAnswer
            return _Admitted(shape(exchange, begin(exchange, body)), ticket, exchange)
        except BaseException:
            ticket.leave(0)
            raise

    async def _prepare(self, body: AnyBody) -> list[PreparedChat]:
        wanted = body.to_request()
        # Some schemas take a second to compile.
        schema = wanted.sampling.json_schema is not None
        if schema or _characters(wanted) > _INLINE_CHARACTERS:
            return await asyncio.to_thread(self._prepared, wanted)
        return self._prepared(wanted)

    def _prepared(self, wanted: ChatRequest | CompletionRequest) -> list[PreparedChat]:
        if isinstance(wanted, ChatRequest):
            return [self.service.prepare(wanted)]
        return self.service.prepare_completion(wanted)

    def _tuned(
        self, chats: Sequence[PreparedChat], body: AnyBody, request: Request
    ) -> list[PreparedChat]:
        """Requests with what the server adds: whose cache, and how many tokens an event."""
        key = key_of(request.scope)
        interval = self._interval() if body.stream or body.stop else _WHOLE_INTERVAL
        salt = key.salt if key else ""
        return [
            replace(
                chat,
                sampling=replace(chat.sampling, cache_salt=salt, stream_interval=interval),
            )
            for chat in chats
        ]

    def _interval(self) -> int:
        """Tokens of one chunk: one while little runs, more the more streams share the server."""
        return max(1, min(self.settings.stream_period, self.admission.running // _CALM_REQUESTS))


class _Admitted(Response):
    """An answer that gives its place back when it is over, and says what is left."""

    def __init__(
        self, answer: StreamedAnswer | WholeAnswer, ticket: Ticket, exchange: Exchange
    ) -> None:
        super().__init__()
        self._answer, self._ticket, self._exchange = answer, ticket, exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers = self._ticket.headers()
        try:
            await self._answer(scope, receive, _with_headers(send, headers) if headers else send)
        finally:
            self._ticket.leave(self._exchange.prompt_tokens + self._exchange.tokens)


def _with_headers(
    send: Send, headers: list[tuple[bytes, bytes]]
) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return sending


def _characters(wanted: ChatRequest | CompletionRequest) -> int:
    if isinstance(wanted, ChatRequest):
        return sum(len(message.content) for message in wanted.messages)
    return sum(len(prompt) for prompt in wanted.prompts)
