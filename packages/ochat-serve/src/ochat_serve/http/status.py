"""`/status.json`: what the status page shows beside the metrics, at one moment with them.

Requests in progress and the last errors are kept here; counters and histograms are `metrics`'.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from ochat_serve.record import RequestRecord, record_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ochat_serve.chat import ChatService
    from ochat_serve.metrics import Metrics

STATUS_PATH = "/status.json"
_ERRORS_KEPT = 50
_SHOWN_CHARACTERS = 120


class StatusBoard:
    """The requests in progress, and the last that went wrong."""

    def __init__(self) -> None:
        """Begin with neither."""
        self._started = time.monotonic()
        self._running: dict[int, RequestRecord] = {}
        self._errors: deque[dict[str, object]] = deque(maxlen=_ERRORS_KEPT)

    def enter(self, record: RequestRecord) -> None:
        """A request came."""
        self._running[id(record)] = record

    def leave(self, record: RequestRecord) -> None:
        """A request is over; what became of it stands in its record."""
        del self._running[id(record)]
        if record.error is not None or record.status >= 400:
            self._errors.appendleft(
                {
                    "time": record.time,
                    "path": record.path[:_SHOWN_CHARACTERS],
                    "status": record.status,
                    "code": record.error,
                    "key": record.key,
                    "seconds": round(time.monotonic() - record.started, 3),
                }
            )

    def json(self) -> dict[str, object]:
        """The state now: how long it has run, how many wait or are answered, what went wrong."""
        # A name is given once a request was found to be in order and goes to the engine.
        admitted = [record for record in self._running.values() if record.request_id]
        waiting = sum(record.first_token is None for record in admitted)
        return {
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "waiting": waiting,
            "answering": len(admitted) - waiting,
            "errors": list(self._errors),
        }


class StatusWatch:
    """ASGI middleware that tells the board of every request; outside the gate, to see refusals."""

    def __init__(self, app: ASGIApp, *, board: StatusBoard, unobserved: frozenset[str]) -> None:
        """Watch `app`; the paths of `unobserved` are not the API's."""
        self._app, self._board, self._unobserved = app, board, unobserved

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http" or scope["path"] in self._unobserved:
            await self._app(scope, receive, send)
            return
        record = record_of(scope)
        self._board.enter(record)
        try:
            await self._app(scope, receive, send)
        finally:
            self._board.leave(record)


def install(app: FastAPI, board: StatusBoard, service: ChatService, metrics: Metrics) -> None:
    """Add the route; it needs a key where the API does."""
    model, engine = service.model, service.engine

    @app.get(STATUS_PATH, include_in_schema=False)
    async def status() -> Response:
        served = {
            "name": model.names[0],
            "names": list(model.names),
            "template": model.codec.template.name,
            "fingerprint": model.codec.fingerprint.digest,
            "max_model_len": engine.max_model_len,
            "engine": engine.name,
        }
        return JSONResponse({**board.json(), "model": served, "metrics": metrics.render()})
