"""What OpenChat-UI sends to an OpenAI host, and how it reads the answers.

It is a fork of Chatbot UI: its server lists the models once, shows only those whose ids it knows,
and streams chats with a system message before every conversation.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.testing import LocalServer
from ochat_templates import Codec, Conversation, Message, load_codec

SYSTEM = "You are a helpful assistant. Answer in Markdown."
KEY = "sk-ui"
# The ids of its model list, which are names of OpenChat's original server.
KNOWN_IDS = {
    "openchat_v3.2": ("openchat_v3.2", "openchat_v3.2_super"),
    "openchat_v3.2_mistral": ("openchat_3.5", "openchat_v3.2_mistral"),
}


def headers(key: str = KEY) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}


def call(
    server: LocalServer, method: str, path: str, body: object = None, key: str = KEY
) -> tuple[http.client.HTTPResponse, Iterator[bytes]]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    raw = None if body is None else json.dumps(body)
    connection.request(method, path, raw, headers(key))
    response = connection.getresponse()

    def parts() -> Iterator[bytes]:
        try:
            # As the network brings it, not by lines.
            while part := response.read1(50):
                yield part
        finally:
            connection.close()

    return response, parts()


def shown_models(server: LocalServer, known: tuple[str, ...]) -> list[str]:
    response, parts = call(server, "GET", "/v1/models")
    assert response.status == 200
    return [each["id"] for each in json.loads(b"".join(parts))["data"] if each["id"] in known]


def question(model: str, *turns: tuple[str, str], temperature: float = 1.0) -> dict[str, object]:
    messages = [{"role": role, "content": content} for role, content in turns]
    return {
        "model": model,
        "messages": [{"role": "system", "content": SYSTEM}, *messages],
        "max_tokens": 1000,
        "temperature": temperature,
        "stream": True,
    }


def read_as_the_ui(parts: Iterator[bytes]) -> str:
    """Its reader: every event is JSON with a first choice; a finish reason closes, at once."""
    rest, text = b"", ""
    for part in parts:
        rest += part
        while b"\n\n" in rest:
            event, rest = rest.split(b"\n\n", 1)
            assert event.startswith(b"data: ")
            # Raises for [DONE], as does the UI: the finish reason has to come before.
            choice = json.loads(event.removeprefix(b"data: "))["choices"][0]
            if choice["finish_reason"] is not None:
                # What stands in this chunk is dropped by it.
                assert not choice["delta"].get("content")
                return text
            text += choice["delta"].get("content") or ""
    raise AssertionError("the stream ended without a finish reason: the UI would wait for ever")


@pytest.fixture(params=sorted(KNOWN_IDS))
def template(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def template_codec(tokenizer_file: Path, template: str) -> Codec:
    return load_codec(tokenizer_file, template)


def test_its_models_are_listed_and_its_conversation_is_answered(
    serve: Callable[..., LocalServer], template: str, template_codec: Codec
) -> None:
    codec = template_codec
    answer = "Grüße, 你好!\n\n```py\nprint(1)\n```"
    engine = ScriptedEngine([*codec.encode_text(answer), codec.eot_id], max_model_len=4096)
    server = serve(engine, ServerSettings(api_keys=(KEY,)), codec)
    known = KNOWN_IDS[template]
    assert sorted(shown_models(server, known)) == sorted(known)
    for model in known:
        body = question(model, ("user", "Hi"), ("assistant", "Hello."), ("user", "And now?"))
        response, parts = call(server, "POST", "/v1/chat/completions", body)
        assert response.status == 200
        assert str(response.headers["content-type"]).startswith("text/event-stream")
        assert read_as_the_ui(parts) == answer
    asked = engine.requests[-1]
    messages = (
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello."),
        Message(role="user", content="And now?"),
    )
    expected = codec.prompt(Conversation(messages=messages, system=SYSTEM))
    assert list(asked.prompt_ids) == expected
    assert (asked.sampling.max_tokens, asked.sampling.temperature) == (1000, 1.0)


def test_an_answer_at_the_length_limit_is_closed_too(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    engine = ScriptedEngine(codec.encode_text("word " * 2000), max_model_len=4096)
    body = question("openchat_v3.2", ("user", "Go on"))
    _, parts = call(serve(engine), "POST", "/v1/chat/completions", body)
    assert read_as_the_ui(parts).startswith("word word")


def test_an_answer_without_text_is_closed_too(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    """A model that ends its turn at once still closes the stream."""
    body = question("openchat_v3.2", ("user", "Say nothing"), temperature=0.0)
    server = serve(ScriptedEngine([codec.eot_id], max_model_len=4096))
    _, parts = call(server, "POST", "/v1/chat/completions", body)
    assert read_as_the_ui(parts) == ""


def test_an_error_is_the_object_whose_message_it_shows(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    engine = ScriptedEngine([codec.eot_id], max_model_len=64)
    server = serve(engine, ServerSettings(api_keys=(KEY,)))
    long = question("openchat_v3.2", ("user", "too long " * 400))
    unknown = question("gpt-4", ("user", "Hi"))
    for body, key, status in ((long, KEY, 400), (unknown, KEY, 404), (long, "sk-no", 401)):
        response, parts = call(server, "POST", "/v1/chat/completions", body, key)
        assert response.status == status
        error = json.loads(b"".join(parts))["error"]
        assert {"message", "type", "param", "code"} <= error.keys()
        assert error["message"]
    response, parts = call(server, "GET", "/v1/models", key="sk-no")
    assert response.status == 401
    assert "error" in json.loads(b"".join(parts))
