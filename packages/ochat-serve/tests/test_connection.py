"""Clients that do nothing: silent, half closed, or never reading."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ochat_serve import ScriptedEngine, ServedModel, build_app
from ochat_serve.testing import LocalServer, local_server, wait_until
from ochat_templates import Codec

CHAT: dict[str, Any] = {
    "model": "toy",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
    "ignore_eos": True,
    "max_tokens": 4000,
}
HALF_A_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-le"


@pytest.fixture
def impatient(codec: Codec) -> Iterator[Callable[..., LocalServer]]:
    with ExitStack() as stack:

        def start(engine: ScriptedEngine, seconds: float = 0.5) -> LocalServer:
            app = build_app(engine, ServedModel.of(codec, "toy"))
            return stack.enter_context(local_server(app, engine, client_seconds=seconds))

        yield start


@contextmanager
def connected(server: LocalServer) -> Iterator[socket.socket]:
    port = int(server.url.rpartition(":")[2])
    with socket.socket() as connection:
        # Small, so that a reader who does not read is felt by the server soon.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        yield connection


def ask(**more: object) -> bytes:
    body = json.dumps({**CHAT, **more}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def read_all(connection: socket.socket) -> bytes:
    read = b""
    while piece := connection.recv(65536):
        read += piece
    return read


@pytest.mark.parametrize(
    "sent", [b"", HALF_A_HEAD, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /h"]
)
def test_a_client_that_sends_no_whole_request_is_left(
    impatient: Callable[..., LocalServer], sent: bytes
) -> None:
    server = impatient(ScriptedEngine())
    with connected(server) as connection:
        connection.sendall(sent)
        # The end of the connection ends the reading; what came before is the whole answer.
        answered = read_all(connection)
    assert answered.startswith(b"HTTP/1.1 200" if sent.startswith(b"GET") else b"")
    assert (b'"ok"' in answered) is sent.startswith(b"GET")
    assert server.get("/health")[0] == 200


def test_many_silent_clients_hold_nobody_up(impatient: Callable[..., LocalServer]) -> None:
    server = impatient(ScriptedEngine(), seconds=60.0)
    with ExitStack() as stack:
        for number in range(300):
            connection = stack.enter_context(connected(server))
            connection.sendall(HALF_A_HEAD[: number % 50])
        for _ in range(5):
            status, answer = server.post("/v1/chat/completions", {**CHAT, "stream": False})
            assert status == 200
            assert answer["choices"][0]["message"]["content"]


def test_a_reader_that_reads_nothing_is_left_and_its_request_aborted(
    impatient: Callable[..., LocalServer],
) -> None:
    engine = ScriptedEngine([5] * 100_000, max_model_len=200_000)
    server = impatient(engine)
    with connected(server) as connection:
        connection.sendall(ask(max_tokens=100_000))
        connection.recv(100)
        wait_until(lambda: engine.aborted == 1, seconds=60)
    assert engine.running == 0


def test_a_slow_reader_gets_every_token_in_order(
    impatient: Callable[..., LocalServer], codec: Codec
) -> None:
    """It pauses again and again, but each time for less than it may."""
    text = " ".join(f"{number}" for number in range(1500))
    ids = codec.encode_text(text)
    server = impatient(ScriptedEngine([*ids, codec.eot_id], max_model_len=20_000), seconds=30.0)
    with connected(server) as connection:
        connection.sendall(ask(max_tokens=len(ids) + 1, ignore_eos=False))
        read = b""
        while not read.endswith(b"0\r\n\r\n"):
            read += connection.recv(16384)
            time.sleep(0.002)
    events = [line[6:] for line in read.split(b"\r\n") if line.startswith(b"data: {")]
    deltas = [json.loads(event.split(b"\n")[0])["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content", "") for delta in deltas) == text


def test_a_client_that_closes_its_half_aborts_its_request(
    impatient: Callable[..., LocalServer],
) -> None:
    engine = ScriptedEngine([5] * 3000, tokens_per_second=20)
    server = impatient(engine, seconds=60.0)
    with ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(connected(server))
            connection.sendall(ask())
            connection.recv(100)
            connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: engine.aborted == 20, seconds=60)
    assert engine.running == 0
