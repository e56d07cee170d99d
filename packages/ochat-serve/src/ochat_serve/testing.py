"""A real server on a free port of this machine, for tests of programs that talk to one.

With a `ScriptedEngine` it needs no model; starting a server for people is `ochat_serve.server`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from ochat_serve.connection import patient
from ochat_serve.engine import Engine

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A running server.

    Attributes:
        url: Its address without a path, such as `http://127.0.0.1:40123`.
        app: The application, to look at its state.
    """

    url: str
    app: FastAPI | None = None

    def get(self, path: str, *, key: str | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of a GET."""
        return self.call("GET", path, None, key=key)

    def post(
        self, path: str, body: object, *, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of a POST of a JSON value, or of bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", path, raw, key=key)

    def call(
        self, method: str, path: str, raw: bytes | None, *, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of any request; `key` becomes the Authorization header."""
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, raw, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@contextmanager
def local_server(
    app: FastAPI, engine: Engine, *, client_seconds: float = 30.0
) -> Iterator[LocalServer]:
    """Serve an application from a thread of this process; starts and stops its engine.

    Args:
        app: What `build_app` made.
        engine: What it was made for.
        client_seconds: As in `ServerSettings`.
    """
    port = free_port()
    config = uvicorn.Config(
        app,
        port=port,
        log_config=None,
        timeout_graceful_shutdown=2,
        http=patient(client_seconds),
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        await engine.start()
        try:
            await server.serve()
        finally:
            await engine.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), seconds=_START_SECONDS)
    if not server.started:
        raise RuntimeError("the server did not start; its thread's exception says why")
    try:
        yield LocalServer(url=f"http://127.0.0.1:{port}", app=app)
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            raise RuntimeError(f"the server did not stop within {_STOP_SECONDS:.0f} seconds")


def free_port() -> int:
    """A port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: It did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"what was waited for did not happen within {seconds} seconds")
        time.sleep(0.01)
