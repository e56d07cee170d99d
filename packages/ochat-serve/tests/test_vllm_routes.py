"""Both engines behind HTTP: the same requests, greedy in float32, give the same texts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import EngineOptions, build_app, create_engine, open_model_folder
from ochat_serve.engine.vocabulary import Vocabulary
from ochat_serve.testing import LocalServer, local_server

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM"),
    # vLLM and its dependencies warn about their own code; ours still fails on a warning.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(vllm|torch|swigvarlink|importlib).*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:(vllm|torch).*"),
    pytest.mark.filterwarnings("ignore::UserWarning:(vllm|torch).*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MESSAGES = [{"role": "user", "content": "How many tokens?"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["red", "größe", None]},
        "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
    },
    "required": ["name", "kind", "sizes"],
    "additionalProperties": False,
}
HELD = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
FLAT = {"type": "json_schema", "name": "thing", "schema": SCHEMA}
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": MESSAGES, "max_tokens": 32}),
    (CHAT, {"messages": MESSAGES, "max_tokens": 32, "stop": ["e"]}),
    (CHAT, {"messages": MESSAGES, "condition": "GPT3", "max_tokens": 32}),
    (CHAT, {"messages": [*MESSAGES, {"role": "assistant", "content": "A"}], "max_tokens": 9}),
    (CHAT, {"messages": MESSAGES, "response_format": HELD, "max_tokens": 100}),
    (CHAT, {"messages": MESSAGES, "response_format": {"type": "json_object"}, "max_tokens": 20}),
    (COMPLETIONS, {"prompt": ["The quick", [5, 6, 7]], "max_tokens": 16, "echo": True}),
    (COMPLETIONS, {"prompt": "The", "max_tokens": 0, "echo": True}),
    (RESPONSES, {"input": "How many?", "max_output_tokens": 32}),
    (RESPONSES, {"input": "How many?", "instructions": "Be brief.", "max_output_tokens": 16}),
    (RESPONSES, {"input": "How?", "text": {"format": FLAT}, "max_output_tokens": 100}),
]


@pytest.fixture(scope="module")
def servers(model_folder: Path) -> Iterator[dict[str, LocalServer]]:
    """The same folder on both engines; one starts after the other has answered."""
    folder = open_model_folder(model_folder)
    with pytest.MonkeyPatch.context() as patch, local(folder, "transformers", ()) as reference:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        more = ("--enforce-eager", "--max-num-seqs", "16")
        with local(folder, "vllm", more) as tested:
            yield {"transformers": reference, "vllm": tested}


def local(folder: Any, name: str, more: tuple[str, ...]) -> Any:
    options = EngineOptions(
        max_model_len=folder.max_model_len,
        dtype="float32",
        threads=1,
        vocabulary=Vocabulary.of(folder.model.codec),
        vllm_arguments=more,
    )
    engine = create_engine(name, folder.path, options)
    return local_server(build_app(engine, folder.model), engine)


def answer(server: LocalServer, path: str, body: dict[str, Any]) -> list[object]:
    """Texts and why they ended."""
    status, found = server.post(path, {"model": "toy-llama", "temperature": 0, **body})
    assert status == 200, found
    if path == RESPONSES:
        return [found["status"], *(part["text"] for part in found["output"][0]["content"])]
    return [
        (choice.get("text", choice.get("message")), choice["finish_reason"])
        for choice in found["choices"]
    ]


def test_every_route_says_the_same_on_both_engines(servers: dict[str, LocalServer]) -> None:
    for path, body in REQUESTS:
        expected = answer(servers["transformers"], path, body)
        assert answer(servers["vllm"], path, body) == expected, body


def test_a_repeated_prompt_is_told_as_cached(servers: dict[str, LocalServer]) -> None:
    body = {"model": "toy-llama", "prompt": [7] * 200, "max_tokens": 1, "temperature": 0}
    first, second = (servers["vllm"].post(COMPLETIONS, body)[1]["usage"] for _ in range(2))
    assert first["prompt_tokens_details"] == {"cached_tokens": 0}
    assert 0 < second["prompt_tokens_details"]["cached_tokens"] < 200
    assert first["prompt_tokens"] == second["prompt_tokens"] == 200


def test_a_schema_that_cannot_be_kept_is_refused_before_vllm_sees_it(
    servers: dict[str, LocalServer],
) -> None:
    for schema in ({"type": "colour"}, {"type": "array", "uniqueItems": True}):
        chosen = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        body = {"model": "toy-llama", "messages": MESSAGES, "response_format": chosen}
        status, found = servers["vllm"].post(CHAT, body)
        assert (status, found["error"]["param"]) == (400, "response_format")
