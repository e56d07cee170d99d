"""Clients that go away at any moment, many at once."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.testing import LocalServer, wait_until

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]}


def storm(server: LocalServer, engine: ScriptedEngine, clients: int) -> None:
    """Clients that leave before the headers, in mid-stream and with half a body sent."""
    host, port = server.url.removeprefix("http://").split(":")
    raw = json.dumps({**HELLO, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw)}\r\n\r\n".encode()

    def leave(number: int) -> None:
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head + raw[: len(raw) if number % 3 else 20])
            if number % 3 == 2:
                connection.recv(10)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(leave, range(clients)))
    wait_until(lambda: engine.running == 0, seconds=10)
    assert server.app is not None
    metrics = _metrics(server)
    assert "ochat_serve_running 0" in metrics.splitlines()


def _metrics(server: LocalServer) -> str:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_storm_of_disconnects_leaves_nothing_running_and_no_file_open(
    serve: Callable[..., LocalServer],
) -> None:
    engine = ScriptedEngine([5] * 3000, tokens_per_second=50)
    server = serve(engine, ServerSettings(body_seconds=1.0))
    storm(server, engine, 60)
    before = open_files()
    storm(server, engine, 300)
    wait_until(lambda: open_files() <= before + 2, seconds=10)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
