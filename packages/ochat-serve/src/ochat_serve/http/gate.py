"""The wall around the application: keys, and a record of every request that meets it.

A wall around the whole application and not a check in each route: a route added later is closed
unless it is named here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from ochat_serve.errors import AuthenticationError
from ochat_serve.http.errors import error_response
from ochat_serve.record import record_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ochat_serve.keys import ApiKey, KeyRing
    from ochat_serve.metrics import Metrics
    from ochat_serve.record import RequestRecord
    from ochat_serve.request_log import RequestLog

_KEY = "ochat_serve.key"
_SEND = "ochat_serve.send"


def key_of(scope: Scope) -> ApiKey | None:
    """The key that opened the gate for a request."""
    return scope.get(_KEY)


def direct_send(scope: Scope, send: Send) -> Send:
    """What carries the chunks of a stream that has begun: past every layer that looks at its head.

    Each of them would cost time with every token, and none has anything to do there.
    """
    return scope.get(_SEND, send)


class KeyGate:
    """ASGI middleware that lets requests with a known key through."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, open_paths: frozenset[str]) -> None:
        """Guard `app`; without keys everything is open."""
        self._app, self._keys, self._open_paths = app, keys, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        guarded = scope["type"] != "lifespan" and scope["path"] not in self._open_paths
        if guarded and self._keys.closed:
            try:
                key = self._require_key(Headers(scope=scope))
            except AuthenticationError as error:
                record_of(scope).error = error.code
                await error_response(error)(scope, receive, send)
                return
            scope[_KEY] = key
            record_of(scope).key = key.name
        await self._app(scope, receive, send)

    def _require_key(self, headers: Headers) -> ApiKey:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not sent.strip():
            raise AuthenticationError(
                "This server needs an API key; send it as 'Authorization: Bearer KEY'."
            )
        key = self._keys.find(sent.strip())
        if key is None:
            raise AuthenticationError("The API key is not one of this server's.")
        return key


class Observer:
    """ASGI middleware that writes one line and counts one request, whatever became of it."""

    def __init__(
        self, app: ASGIApp, *, log: RequestLog, metrics: Metrics, unobserved: frozenset[str]
    ) -> None:
        """Watch `app`; the paths of `unobserved` are not the API's."""
        self._app, self._log, self._metrics = app, log, metrics
        self._unobserved = unobserved

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and look at what comes back."""
        if scope["type"] != "http" or scope["path"] in self._unobserved:
            await self._app(scope, receive, send)
            return
        scope[_SEND] = send
        record = record_of(scope)
        record.client = str((scope.get("client") or ("",))[0])

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._finish(record, scope)

    def _finish(self, record: RequestRecord, scope: Scope) -> None:
        seconds = time.monotonic() - record.started
        # The route's pattern, so that unknown paths cannot grow the metrics without bound.
        route = scope.get("route")
        self._metrics.request(getattr(route, "path", "other"), record.status, record.key)
        first = None if record.first_token is None else record.first_token - record.started
        if record.outcome:
            self._metrics.generation(
                key=record.key,
                outcomes=record.outcome,
                prompt_tokens=record.prompt_tokens,
                completion_tokens=record.completion_tokens,
                first_token_seconds=first,
                seconds=seconds,
            )
        self._log.write(record, seconds=seconds, first_token_seconds=first)


class HeadAsGet:
    """ASGI middleware that answers HEAD as GET without the body, on every route."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the whole and send its head."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def headless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, headless)
