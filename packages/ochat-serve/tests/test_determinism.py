"""The same request has the same answer: alone or among others, whole or streamed, on any route."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ochat_serve.testing import LocalServer

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "size": {"type": "integer", "minimum": 0, "maximum": 999},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "How many tokens?"}]
HELD = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
FLAT = {"type": "json_schema", "name": "thing", "schema": SCHEMA}
LOOSE = {"temperature": 1.2, "top_p": 0.95, "seed": 41}
GREEDY = {"temperature": 0}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 24}),
    "chat of two": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 12, "n": 2}),
    "stopped": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 24, "stop": ["e"]}),
    "continued": (
        "/v1/chat/completions",
        {"messages": [*MESSAGES, {"role": "assistant", "content": "A few"}], "max_tokens": 12},
    ),
    "json": ("/v1/chat/completions", {"messages": MESSAGES, "response_format": HELD}),
    "completion": ("/v1/completions", {"prompt": "The quick", "max_tokens": 16}),
    "completions": ("/v1/completions", {"prompt": ["The", [5, 6]], "echo": True, "max_tokens": 8}),
    "response": ("/v1/responses", {"input": "How many?", "max_output_tokens": 24}),
    "json response": ("/v1/responses", {"input": "How many?", "text": {"format": FLAT}}),
}


def texts(answer: dict[str, Any]) -> list[str]:
    """What was said, on whichever route."""
    if "output" in answer:
        return [part["text"] for item in answer["output"] for part in item["content"]]
    return [
        choice["text"] if "text" in choice else choice["message"]["content"]
        for choice in answer["choices"]
    ]


def ask(server: LocalServer, name: str, fields: dict[str, Any]) -> list[str]:
    path, body = REQUESTS[name]
    status, answer = server.post(path, {"model": "toy-llama", **body, **fields})
    assert status == 200, answer
    return texts(answer)


@pytest.mark.parametrize("fields", [GREEDY, LOOSE], ids=["greedy", "seeded"])
def test_an_answer_does_not_depend_on_what_else_runs(
    toy_server: LocalServer, fields: dict[str, Any]
) -> None:
    alone = {name: ask(toy_server, name, fields) for name in REQUESTS}
    many = [*REQUESTS, *reversed(REQUESTS)]
    with ThreadPoolExecutor(len(many)) as pool:
        asked = [pool.submit(ask, toy_server, name, fields) for name in many]
        together = [answer.result() for answer in asked]
    for name, found in zip(many, together, strict=True):
        assert found == alone[name], name
    for name in ("json", "json response"):
        assert set(json.loads(alone[name][0])) == {"name", "size"}


def test_another_seed_is_another_answer(toy_server: LocalServer) -> None:
    for name in ("chat", "completion", "response"):
        assert ask(toy_server, name, LOOSE) != ask(toy_server, name, {**LOOSE, "seed": 42})
