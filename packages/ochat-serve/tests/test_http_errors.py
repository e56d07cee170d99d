"""Every wrong request gets OpenAI's error object, and the server goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from ochat_serve import ScriptedEngine, ServedModel, ServerSettings, build_app
from ochat_serve.testing import LocalServer, local_server
from ochat_templates import Codec

GOOD: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def error_server(codec: Codec) -> Iterator[LocalServer]:
    """One server for all wrong requests; it must survive them."""
    engine = ScriptedEngine(max_model_len=1000)
    with local_server(build_app(engine, ServedModel.of(codec, "toy")), engine) as server:
        yield server
        assert server.post("/v1/chat/completions", GOOD)[0] == 200
        assert engine.running == 0


def check_shape(body: dict[str, Any]) -> dict[str, Any]:
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"].endswith(".")
    assert "\n" not in error["message"]
    return error


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"model": "gpt-4"}, 404, "model", "model_not_found"),
        ({"model": 3}, 400, "model", "invalid_type"),
        ({"model": None}, 400, "model", "invalid_type"),
        ({"messages": []}, 400, "messages", "invalid_value"),
        ({"messages": "Hi"}, 400, "messages", "invalid_type"),
        ({"messages": [{"role": "user"}]}, 400, "messages.0.content", "missing_required_parameter"),
        (
            {"messages": [{"role": "alien", "content": "x"}]},
            400,
            "messages.0.role",
            "invalid_value",
        ),
        ({"messages": [{"role": "user", "content": 3}]}, 400, "messages.0.content", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            400,
            "messages.0.content",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "name": "GPT4 Assistant"}]},
            400,
            "messages.0",
            "invalid_value",
        ),
        ({"condition": "GPT9"}, 400, "condition", "invalid_value"),
        ({"condition": 4}, 400, "condition", "invalid_type"),
        ({"max_tokens": 0}, 400, "max_tokens", "invalid_value"),
        ({"max_tokens": "4"}, 400, "max_tokens", "invalid_type"),
        ({"max_tokens": 2.5}, 400, "max_tokens", "invalid_type"),
        ({"max_tokens": True}, 400, "max_tokens", "invalid_type"),
        ({"max_tokens": 10**9}, 400, "max_tokens", "context_length_exceeded"),
        ({"max_tokens": 10**400}, 400, "max_tokens", "context_length_exceeded"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, 400, "max_tokens", "invalid_value"),
        ({"temperature": -1}, 400, "temperature", "invalid_value"),
        ({"temperature": 2.5}, 400, "temperature", "invalid_value"),
        ({"temperature": float("nan")}, 400, "temperature", "invalid_value"),
        ({"temperature": float("inf")}, 400, "temperature", "invalid_value"),
        ({"temperature": "warm"}, 400, "temperature", "invalid_type"),
        ({"top_p": 0}, 400, "top_p", "invalid_value"),
        ({"seed": 2**70}, 400, "seed", "invalid_value"),
        ({"n": 0}, 400, "n", "invalid_value"),
        ({"n": 100_000}, 400, "n", "invalid_value"),
        ({"stop": ""}, 400, "stop.0", "invalid_value"),
        ({"stop": ["a"] * 17}, 400, "stop", "invalid_value"),
        ({"stop": 4}, 400, "stop", "invalid_type"),
        ({"stop_token_ids": [10**6]}, 400, "stop_token_ids", "invalid_value"),
        ({"min_tokens": 5}, 400, "min_tokens", "unsupported_parameter"),
        ({"presence_penalty": 1}, 400, "presence_penalty", "unsupported_parameter"),
        ({"logprobs": True}, 400, "logprobs", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, 400, "tools", "unsupported_parameter"),
        ({"logit_bias": {"5": 1}}, 400, "logit_bias", "unsupported_parameter"),
        (
            {"response_format": {"type": "json_object"}},
            400,
            "response_format",
            "unsupported_parameter",
        ),
        ({"temprature": 0}, 400, "temprature", "unknown_parameter"),
        ({"stream": "yes"}, 400, "stream", "invalid_type"),
        (
            {"stream": False, "stream_options": {"include_usage": True}},
            400,
            "stream_options",
            "invalid_value",
        ),
        (
            {"stream": True, "stream_options": {"usage": True}},
            400,
            "stream_options.usage",
            "unknown_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": "fox " * 3000}]},
            400,
            "messages",
            "context_length_exceeded",
        ),
    ],
)
def test_a_wrong_field_is_named(
    error_server: LocalServer, change: dict[str, Any], status: int, param: str, code: str
) -> None:
    for stream in (False, True):
        request = {**GOOD, "stream": stream, **change}
        got, body = error_server.post("/v1/chat/completions", request)
        error = check_shape(body)
        assert (got, error["param"], error["code"]) == (status, param, code)
        assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b"[1, 2]",
        b"null",
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        json.dumps({**GOOD, "messages": [{"role": "user", "content": "\ud800"}]}).encode(),
    ],
    ids=["empty", "cut", "utf16", "latin", "list", "null", "deep", "nested", "surrogate"],
)
def test_a_body_that_is_no_request_is_refused(error_server: LocalServer, raw: bytes) -> None:
    status, body = error_server.post("/v1/chat/completions", raw)
    check_shape(body)
    assert status == 400


def test_a_null_field_means_its_default(error_server: LocalServer) -> None:
    nulls = dict.fromkeys(
        ("temperature", "top_p", "n", "stop", "max_tokens", "seed", "stream", "condition", "tools")
    )
    assert error_server.post("/v1/chat/completions", {**GOOD, **nulls})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/page/../pyproject.toml", 404, "unknown_url"),
        ("GET", "/docs", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/gpt-4", 404, "model_not_found"),
    ],
)
def test_an_unknown_route_answers_in_the_same_shape(
    error_server: LocalServer, method: str, path: str, status: int, code: str
) -> None:
    got, body = error_server.call(method, path, None)
    assert (got, check_shape(body)["code"]) == (status, code)


def test_a_body_beyond_the_limit_is_not_read(serve: Callable[..., LocalServer]) -> None:
    server = serve(settings=ServerSettings(max_body_bytes=1000))
    raw = json.dumps({**GOOD, "messages": [{"role": "user", "content": "x" * 2000}]}).encode()
    status, body = server.post("/v1/chat/completions", raw)
    assert (status, check_shape(body)["code"]) == (413, "request_too_large")


def test_the_official_client_raises_its_own_error_types(
    error_server: LocalServer, connect: Callable[..., openai.OpenAI]
) -> None:
    client = connect(error_server)
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4", messages=GOOD["messages"])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="toy", messages=GOOD["messages"], max_tokens=5000)
    assert long.value.code == "context_length_exceeded"


@pytest.mark.parametrize("key", [None, "", "sk-1", "sk-one ", "sk-onetwo", "ключ"])
def test_every_route_but_probes_and_page_is_closed_without_a_key(
    serve: Callable[..., LocalServer], key: str | None
) -> None:
    server = serve(settings=ServerSettings(api_keys=("sk-one", "sk-two")))
    if key == "sk-one ":
        assert server.get("/v1/models", key=key)[0] == 200
        return
    header = None if key is None else key.encode().decode("latin-1")
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/openapi.json"),
        ("GET", "/v1/nothing"),
        ("GET", "//v1/models"),
        ("GET", "/health/../v1/models"),
    ):
        status, body = server.call(method, path, b"{}", key=header)
        assert (status, check_shape(body)["code"]) == (401, "invalid_api_key")
    assert server.get("/health") == (200, {"status": "ok"})
    assert server.get("/ready") == (200, {"status": "ready"})


def test_each_known_key_opens_the_api(
    serve: Callable[..., LocalServer], connect: Callable[..., openai.OpenAI]
) -> None:
    server = serve(settings=ServerSettings(api_keys=("sk-one", "sk-two")))
    for key in ("sk-one", "sk-two"):
        assert connect(server, key).models.list().data
    with pytest.raises(openai.AuthenticationError):
        connect(server, "sk-three").models.list()


def test_a_draining_server_is_alive_but_not_ready(serve: Callable[..., LocalServer]) -> None:
    server = serve()
    assert server.app is not None
    server.app.state.draining = True
    assert server.get("/health")[0] == 200
    assert server.get("/ready")[0] == 503
    status, body = server.post("/v1/chat/completions", GOOD)
    assert status == 503
    assert check_shape(body)["type"] == "server_error"


def test_the_api_describes_itself(error_server: LocalServer) -> None:
    status, document = error_server.get("/openapi.json")
    assert status == 200
    assert set(document["paths"]) == {
        "/health",
        "/ready",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/tokenize",
        "/detokenize",
        "/version",
        "/metrics",
    }
    schema = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    properties = schema["content"]["application/json"]["schema"]["properties"]
    assert {"messages", "condition", "temperature"} <= set(properties)


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": [], "tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False},
        {"functions": [TOOL["function"]], "function_call": "none"},
    ],
)
def test_an_answer_that_calls_no_tool_can_be_had(
    error_server: LocalServer, fields: dict[str, Any]
) -> None:
    assert error_server.post("/v1/chat/completions", {**GOOD, **fields})[0] == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
        ({"functions": [TOOL["function"]]}, "functions"),
        ({"function_call": {"name": "look"}}, "function_call"),
    ],
)
def test_a_tool_is_refused_and_the_reason_is_the_template(
    error_server: LocalServer, fields: dict[str, Any], param: str
) -> None:
    for path, body in (
        ("/v1/chat/completions", GOOD),
        ("/v1/responses", {"model": "toy", "input": "Hi"}),
    ):
        status, answer = error_server.post(path, {**body, **fields})
        assert (status, check_shape(answer)["param"]) == (400, param)
        assert answer["error"]["code"] == "unsupported_parameter"
        assert "template" in answer["error"]["message"]
