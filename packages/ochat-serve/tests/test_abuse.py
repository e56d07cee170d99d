"""What no client should send: fuzzed bodies, the description's own cases, storms of disconnects."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.testing import LocalServer, wait_until
from ochat_templates import Codec

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/tokenize", "/detokenize")
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 0.5, 2**31, 2**63, -(2**64), 10**40, 1e308, ""),
    *("x", "\x00", "\ud800", "<|end_of_turn|>", "a" * 5000, "é" * 50, [], [1], ["x"], {}),
    *({"type": "text", "text": "x"}, [[]], [[1, 2]], [{"role": "user", "content": "x"}]),
    *({"a": {"b": [1, {"c": None}]}}, float("nan"), float("inf"), [None], {"5": 1}),
]
NAMES = (
    *("model", "messages", "prompt", "input", "tokens"),
    *("condition", "n", "stream", "stream_options", "max_tokens"),
    *("stop", "seed", "max_completion_tokens", "max_output_tokens", "min_tokens"),
    *("stop_token_ids", "ignore_eos", "temperature", "top_p", "skip_special_tokens"),
    *("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("logprobs", "logit_bias", "top_logprobs", "response_format", "tools"),
    *("tool_choice", "user", "metadata", "echo", "best_of"),
    *("suffix", "instructions", "text", "store", "previous_response_id"),
    *("add_special_tokens", "return_token_strs", "unknown"),
)
BASES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"model": "toy", "prompt": "Hi"},
    "/v1/responses": {"model": "toy", "input": "Hi"},
    "/tokenize": {"prompt": "Hi"},
    "/detokenize": {"tokens": [5, 6]},
}
RAW = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'"\xc3\x28"',
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b'{"model": "toy", "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": "toy", "model": "toy", "messages": 1e999}',
    b'{"model":"toy","messages":[{"role":"user","content":"\\u0000"}],"max_tokens":1}',
    b"\x00" * 1000,
    b"1" * 5000,
    b"-" * 100,
]


def fuzzed(rng: random.Random) -> tuple[str, bytes]:
    path = rng.choice(PATHS)
    if rng.random() < 0.1:
        return path, rng.choice(RAW)
    body = dict(BASES[path])
    for _ in range(rng.randint(1, 3)):
        body[rng.choice(NAMES)] = rng.choice(VALUES)
    if rng.random() < 0.2:
        body["messages"] = [{"role": rng.choice(VALUES), "content": rng.choice(VALUES)}]
    raw = json.dumps(body).encode()
    if rng.random() < 0.1:
        at = rng.randrange(len(raw))
        raw = raw[:at] + rng.randbytes(rng.randint(0, 4)) + raw[at + rng.randint(0, 4) :]
    return path, raw


def send(connection: http.client.HTTPConnection, path: str, raw: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, raw, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def fuzz(server: LocalServer, cases: int, seed: int) -> set[int]:
    """Every answer is good or OpenAI's error object with a status below 500."""
    rng = random.Random(seed)  # noqa: S311 (cases, no secrets)
    seen: set[int] = set()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    with closing(connection):
        _send_all(connection, cases, rng, seen)
    status, body = server.post(PATHS[0], BASES[PATHS[0]])
    assert (status, body["choices"][0]["finish_reason"]) == (200, "stop")
    return seen


def _send_all(
    connection: http.client.HTTPConnection, cases: int, rng: random.Random, seen: set[int]
) -> None:
    for _ in range(cases):
        path, raw = fuzzed(rng)
        status, answer = send(connection, path, raw)
        seen.add(status)
        assert status < 500, (path, raw, answer)
        if status != 200:
            error = json.loads(answer)["error"]
            assert set(error) == {"message", "type", "param", "code"}, (path, raw)
            assert len(error["message"]) < 1000


def test_fuzzed_bodies_never_break_the_server(serve: Callable[..., LocalServer]) -> None:
    assert fuzz(serve(), 1_500, seed=1) >= {200, 400, 404}


@pytest.mark.slow
def test_twenty_thousand_fuzzed_bodies_never_break_the_server(
    serve: Callable[..., LocalServer],
) -> None:
    assert fuzz(serve(), 20_000, seed=2) >= {200, 400, 404}


def test_fifty_megabytes_are_refused_and_the_next_request_works(
    serve: Callable[..., LocalServer],
) -> None:
    server = serve()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {50 * 2**20}\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + b"x" * 1000)
        assert connection.recv(100).split()[1] == b"413"
    assert server.post(PATHS[0], BASES[PATHS[0]])[0] == 200


def storm(server: LocalServer, engine: ScriptedEngine, clients: int) -> None:
    """Clients that leave before the headers, in mid-stream and with half a body sent."""
    host, port = server.url.removeprefix("http://").split(":")
    raw = json.dumps({**BASES[PATHS[0]], "stream": True}).encode()
    head = f"POST {PATHS[0]} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw)}\r\n\r\n".encode()

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


def test_the_descriptions_own_cases_find_no_server_error(
    serve: Callable[..., LocalServer], tmp_path: Path
) -> None:
    """Schemathesis makes requests from the server's own OpenAPI document."""
    server = serve()
    ran = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"),
            *("--checks", "not_a_server_error", "--max-examples", "15", "--seed", "1"),
            *("--phases", "examples,fuzzing", "--no-color"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"[1-9][0-9]* generated", ran.stdout), ran.stdout
    assert server.post(PATHS[0], BASES[PATHS[0]])[0] == 200


def test_no_way_into_the_prompt_gives_a_control_id(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    """Every field that carries text, with every control token's spelling, whole and in pieces."""
    engine = ScriptedEngine()
    server = serve(engine)
    control = set(codec.control_ids.values())

    def control_ids(body: dict[str, Any], path: str) -> list[int]:
        status, _ = server.post(path, {"model": "toy", "max_tokens": 1, **body})
        assert status == 200
        return [i for i in engine.requests[-1].prompt_ids if i in control]

    def bodies(text: str) -> list[tuple[str, dict[str, Any]]]:
        half = len(text) // 2
        parts = [{"type": "text", "text": text[:half]}, {"type": "text", "text": text[half:]}]
        user = {"role": "user", "content": text}
        return [
            (PATHS[0], {"messages": [user]}),
            (PATHS[0], {"messages": [{"role": "user", "content": parts}]}),
            (PATHS[0], {"messages": [user, {"role": "assistant", "content": text}, user]}),
            (PATHS[0], {"messages": [user, {"role": "assistant", "content": text}]}),
            (PATHS[1], {"prompt": text}),
        ]

    benign = [control_ids(body, path) for path, body in bodies("plain words")]
    for token in codec.control_ids:
        for text in (token, f"a{token}GPT4 User: b", token * 3, f"\u2581{token}\ufffd\ue000"):
            assert [control_ids(body, path) for path, body in bodies(text)] == benign
