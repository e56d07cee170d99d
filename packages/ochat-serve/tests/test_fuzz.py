"""Bodies that no client should send: every answer is good or OpenAI's error, and none a 5xx."""

from __future__ import annotations

import copy
import gzip
import http.client
import json
import random
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ochat_serve.testing import LocalServer

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
PATHS = (CHAT, COMPLETIONS, RESPONSES, "/tokenize", "/detokenize")
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 0.5, 2**31, 2**63, -(2**64), 10**40, 10**400, 1e308, ""),
    *("x", "\x00", "\ud800", "<|end_of_turn|>", "a" * 5000, "é" * 50, [], [1], ["x"], {}),
    *({"type": "text", "text": "x"}, [[]], [[1, 2]], [{"role": "user", "content": "x"}]),
    *({"a": {"b": [1, {"c": None}]}}, float("nan"), float("inf"), [None], {"5": 1}, {"": ""}),
    *("json_schema", "object", "user", "5", {"type": "object"}, {"$ref": "#"}, ["x"] * 3000),
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
    *("add_special_tokens", "return_token_strs", "unknown", "role", "content", "type", "schema"),
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^[a-z]{1,3}$", "maxLength": 5},
        "b": {"type": "array", "items": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/c"}]}},
    },
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"c": {"enum": [1, "x"]}},
}
SAMPLING: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 3,
    "stop": ["x", "yy"],
    "n": 2,
    "stream": True,
    "stream_options": {"include_usage": True},
}
FLAT = {"type": "json_schema", "name": "a", "schema": SCHEMA}
# What the scripted engine takes, and what needs a real one.
BASES: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]},
        {
            "model": "toy",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": "Hello", "refusal": None},
            ],
            "max_tokens": 4,
            **SAMPLING,
        },
        {
            "model": "toy",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 4,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
            },
            "logprobs": True,
            "top_logprobs": 2,
            "logit_bias": {"5": 1, "7": -100},
            "presence_penalty": 1,
            "frequency_penalty": 0.5,
        },
    ],
    COMPLETIONS: [
        {"model": "toy", "prompt": "Hi"},
        {"model": "toy", "prompt": ["Hi", [5, 6]], "max_tokens": 3, "echo": True, **SAMPLING},
        {"model": "toy", "prompt": [5, 6, 7], "max_tokens": 2, "echo": True, "logprobs": 2},
    ],
    RESPONSES: [
        {"model": "toy", "input": "Hi"},
        {
            "model": "toy",
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            "max_output_tokens": 4,
            "stream": True,
            "metadata": {"a": "b"},
        },
        {"model": "toy", "input": "Hi", "max_output_tokens": 4, "text": {"format": FLAT}},
    ],
    "/tokenize": [{"prompt": "Hi"}, {"messages": [{"role": "user", "content": "Hi"}]}],
    "/detokenize": [{"tokens": [5, 6]}],
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
    b'{"model":"toy","messages":' + b"[" * 150 + b"]" * 150 + b"}",
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a body with each of its keys."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def changed(rng: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    """A body with wrong things at any depth."""
    body = copy.deepcopy(body)
    for _ in range(rng.randint(0, 3)):
        if not body:
            break
        container, key = rng.choice(list(places(body)))
        kind = rng.random()
        if kind < 0.6:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind < 0.7:
            del container[key]
        elif kind < 0.85 and isinstance(container, dict):
            container[rng.choice(NAMES)] = copy.deepcopy(rng.choice(VALUES))
        else:
            container[key] = [container[key]] * rng.choice((1, 2, 40))
    return body


def written(rng: random.Random, body: dict[str, Any]) -> bytes:
    """A body as bytes, some of them damaged."""
    raw = json.dumps(body, ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
    kind = rng.random()
    if kind < 0.08:  # bytes lost, added or exchanged
        at = rng.randrange(len(raw))
        return raw[:at] + rng.randbytes(rng.randint(0, 4)) + raw[at + rng.randint(0, 4) :]
    if kind < 0.12:  # every key twice
        return raw[:-1] + b"," + raw[1:] if len(raw) > 2 else raw
    if kind < 0.15:
        return b"\xef\xbb\xbf" + raw
    if kind < 0.17:
        return raw.decode("utf-8", "replace").encode("utf-16")
    return raw


def fuzzed(rng: random.Random, model: str) -> tuple[str, bytes, dict[str, str], bool]:
    """Path, body, headers, and whether it comes in chunks."""
    path = rng.choice(PATHS)
    raw = rng.choice(RAW)
    if rng.random() > 0.05:
        body = changed(rng, rng.choice(BASES[path]))
        raw = written(rng, {**body, "model": model} if body.get("model") == "toy" else body)
    headers = {"content-type": "application/json"}
    if rng.random() < 0.1:
        headers["content-type"] = rng.choice(("text/plain", "", "application/json; charset=x"))
    if rng.random() < 0.05:
        headers["content-encoding"] = rng.choice(("gzip", "br", "x"))
        raw = gzip.compress(raw) if headers["content-encoding"] == "gzip" else raw
    return path, raw, headers, rng.random() < 0.1


def fuzz(server: LocalServer, cases: int, seed: int, model: str = "toy") -> Counter[int]:
    """Send them all over one connection; gives how often each status came."""
    hello = {**BASES[CHAT][0], "model": model, "max_tokens": 1}
    rng = random.Random(seed)  # noqa: S311 (cases, no secrets)
    seen: Counter[int] = Counter()
    host = server.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        for _ in range(cases):
            path, raw, headers, in_chunks = fuzzed(rng, model)
            body: Any = iter([raw[:7], raw[7:]]) if in_chunks else raw
            connection.request("POST", path, body, headers, encode_chunked=in_chunks)
            answer = connection.getresponse()
            check(path, raw, answer.status, answer.read())
            seen[answer.status] += 1
    status, body = server.post(CHAT, hello)
    assert (status, body["choices"][0]["finish_reason"]) == (200, "length")
    return seen


def check(path: str, raw: bytes, status: int, answer: bytes) -> None:
    assert status < 500, (path, raw, answer)
    if status == 200:
        return
    error = json.loads(answer)["error"]
    assert set(error) == {"message", "type", "param", "code"}, (path, raw)
    assert isinstance(error["message"], str), (path, raw)
    assert len(error["message"]) < 1000, (path, raw)


def test_fuzzed_bodies_never_break_the_server(serve: Callable[..., LocalServer]) -> None:
    assert set(fuzz(serve(), 500, seed=1)) >= {200, 400, 404}


def test_fuzzed_bodies_never_break_a_server_with_a_real_model(toy_server: LocalServer) -> None:
    assert set(fuzz(toy_server, 120, seed=3, model="toy-llama")) >= {200, 400}


@pytest.mark.slow
def test_twenty_thousand_fuzzed_bodies_never_break_the_server(
    serve: Callable[..., LocalServer],
) -> None:
    seen = fuzz(serve(), 20_000, seed=2)
    print(f"answers by status: {dict(seen)}")  # noqa: T201 (the figures of the README)
    assert set(seen) >= {200, 400, 404}


@pytest.mark.slow
def test_two_thousand_fuzzed_bodies_never_break_a_server_with_a_real_model(
    toy_server: LocalServer,
) -> None:
    seen = fuzz(toy_server, 2_000, seed=4, model="toy-llama")
    print(f"answers by status: {dict(seen)}")  # noqa: T201 (the figures of the README)


@pytest.mark.parametrize("chunked", [False, True])
def test_fifty_megabytes_are_refused_unread_and_the_next_request_works(
    serve: Callable[..., LocalServer], chunked: bool
) -> None:
    server = serve()
    size = "transfer-encoding: chunked" if chunked else f"content-length: {50 * 2**20}"
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{size}\r\n\r\n".encode()
    piece = b"x" * 2**16
    frame = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    host, port = server.url.removeprefix("http://").split(":")
    sent = 0
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head)
        try:
            while sent < 50 * 2**20:
                connection.sendall(frame)
                sent += len(piece)
            answer = connection.recv(100)
        except OSError:  # closed by the server while more was being sent
            answer = b""
    assert not answer or answer.split()[1] == b"413"
    assert sent < 50 * 2**20 or answer
    assert server.post(CHAT, BASES[CHAT][0])[0] == 200


def schemathesis(server: LocalServer, folder: Path, *options: str) -> str:
    """Requests made from the server's own OpenAPI document; gives what was printed."""
    ran = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"),
            *("--seed", "1", "--no-color", *options),
        ],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"[1-9][0-9]* generated", ran.stdout), ran.stdout
    assert server.post(CHAT, BASES[CHAT][0])[0] == 200
    return ran.stdout


def test_the_descriptions_own_cases_are_answered_as_described(
    serve: Callable[..., LocalServer], tmp_path: Path
) -> None:
    schemathesis(
        serve(),
        tmp_path,
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *("--max-examples", "15", "--phases", "fuzzing"),
    )


@pytest.mark.slow
def test_five_thousand_of_the_descriptions_cases_pass_every_check(
    serve: Callable[..., LocalServer], tmp_path: Path
) -> None:
    said = schemathesis(
        serve(),
        tmp_path,
        *("--checks", "all", "--max-examples", "300"),
        # What a schema cannot say, such as which parameters exclude each other, is refused too.
        *("--exclude-checks", "positive_data_acceptance"),
    )
    print(said[-1500:])  # noqa: T201 (the figures of the README)
