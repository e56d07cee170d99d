"""The official client as against OpenAI: calls, event types, exceptions, retries, timeouts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.keys import KeyLimits
from ochat_serve.testing import LocalServer, wait_until
from ochat_templates import Codec

ASK: Any = [{"role": "user", "content": "Hi"}]


@contextmanager
def client_of(server: LocalServer, key: str = "none", **options: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=key, **options) as client:
        yield client


def test_models_are_listed_and_retrieved(serve: Callable[..., LocalServer]) -> None:
    with client_of(serve()) as client:
        names = [model.id for model in client.models.list()]
        assert "toy" in names
        assert client.models.retrieve("toy").object == "model"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")


def test_every_error_has_the_clients_exception(serve: Callable[..., LocalServer]) -> None:
    closed = serve(settings=ServerSettings(api_keys=("sk-one",), max_body_bytes=2_000))
    wrong = client_of(closed, "sk-two", max_retries=0)
    with wrong as client, pytest.raises(openai.AuthenticationError) as wrong_key:
        client.chat.completions.create(model="toy", messages=ASK)
    assert wrong_key.value.code == "invalid_api_key"
    with client_of(closed, "sk-one", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as bad:
            client.chat.completions.create(model="toy", messages=ASK, temperature=9)
        assert (bad.value.param, bad.value.type) == ("temperature", "invalid_request_error")
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.create(model="gpt-4o", input="Hi")
        assert (missing.value.param, missing.value.code) == ("model", "model_not_found")
        with pytest.raises(openai.APIStatusError) as large:
            client.completions.create(model="toy", prompt="x" * 3_000)
        assert (large.value.status_code, large.value.code) == (413, "request_too_large")
    limited = serve(settings=ServerSettings(limits=KeyLimits(rpm=1)))
    with client_of(limited, max_retries=0) as client:
        client.chat.completions.create(model="toy", messages=ASK)
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as often:
                client.chat.completions.create(model="toy", messages=ASK, stream=stream)
            assert int(often.value.response.headers["retry-after"]) >= 1
    stopping = serve()
    assert stopping.app is not None
    stopping.app.state.draining = True
    patient = client_of(stopping, max_retries=0)
    with patient as client, pytest.raises(openai.InternalServerError) as gone:
        client.chat.completions.create(model="toy", messages=ASK)
    assert (gone.value.status_code, gone.value.code) == (503, "engine_unavailable")


def test_the_client_comes_again_after_the_time_that_the_server_named(
    serve: Callable[..., LocalServer],
) -> None:
    """One at a time: whoever is told to wait comes again by itself."""
    engine = ScriptedEngine([5] * 3000, tokens_per_second=50)
    server = serve(engine, ServerSettings(limits=KeyLimits(concurrency=1)))
    with ExitStack() as stack:
        first = stack.enter_context(client_of(server, max_retries=0))
        running = first.chat.completions.create(model="toy", messages=ASK, stream=True)
        next(iter(running))
        waits: list[str] = []

        def make_room(response: httpx.Response) -> None:
            if response.status_code == 429:
                waits.append(response.headers["retry-after"])
                running.close()
                wait_until(lambda: engine.running == 0)

        http_client = openai.DefaultHttpxClient(event_hooks={"response": [make_room]})
        second = stack.enter_context(client_of(server, max_retries=5, http_client=http_client))
        answer = second.chat.completions.with_raw_response.create(
            model="toy", messages=ASK, max_tokens=2
        )
        assert answer.retries_taken == len(waits) >= 1
        assert answer.parse().choices[0].finish_reason == "length"


def test_a_timeout_of_the_client_aborts_its_request(serve: Callable[..., LocalServer]) -> None:
    engine = ScriptedEngine([5] * 3000, tokens_per_second=20)
    hasty = client_of(serve(engine), max_retries=0, timeout=2.0)
    with hasty as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="toy", messages=ASK)
    wait_until(lambda: engine.aborted == 1)


def test_a_stream_that_is_closed_aborts_its_request(serve: Callable[..., LocalServer]) -> None:
    engine = ScriptedEngine([5] * 3000, tokens_per_second=50)
    with client_of(serve(engine)) as client:
        stream = client.chat.completions.create(model="toy", messages=ASK, stream=True)
        with stream:
            next(iter(stream))
    wait_until(lambda: engine.aborted == 1)
    assert engine.running == 0


def test_the_asynchronous_client_streams_and_cancels(serve: Callable[..., LocalServer]) -> None:
    engine = ScriptedEngine([5] * 3000, tokens_per_second=50)
    server = serve(engine)

    async def run() -> None:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(model="toy", messages=ASK, stream=True)
            first = await anext(aiter(stream))
            assert first.choices[0].delta.role == "assistant"
            await stream.close()
            await asyncio.to_thread(wait_until, lambda: engine.aborted == 1)
            create = client.chat.completions.create(model="toy", messages=ASK)
            task = asyncio.create_task(create)
            await asyncio.to_thread(wait_until, lambda: engine.running == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    wait_until(lambda: engine.aborted == 2)


def test_the_events_of_a_response_are_the_clients_types(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    server = serve(ScriptedEngine([*codec.encode_text("a few words"), codec.eot_id]))
    with client_of(server) as client:
        events = list(client.responses.create(model="toy", input="Hi", stream=True))
        with client.responses.stream(model="toy", input="Hi") as stream:
            final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text == "a few words"
    assert all("model_extra" not in event.to_dict() for event in events)


def test_a_raw_response_carries_the_headers(serve: Callable[..., LocalServer]) -> None:
    server = serve(settings=ServerSettings(limits=KeyLimits(rpm=10)))
    with client_of(server) as client:
        raw = client.chat.completions.with_raw_response.create(model="toy", messages=ASK)
        assert raw.headers["content-type"] == "application/json"
        assert raw.headers["x-ratelimit-limit-requests"] == "10"
        assert raw.parse().object == "chat.completion"
        with client.chat.completions.with_streaming_response.create(
            model="toy", messages=ASK, stream=True
        ) as streamed:
            assert streamed.headers["content-type"].startswith("text/event-stream")
            assert list(streamed.iter_lines())[-2] == "data: [DONE]"


# OpenAI's published objects, field by field; True where a client may rely on more than null.
MESSAGE = {"role": True, "content": True, "refusal": False}
CHOICE = {"index": True, "message": True, "logprobs": False, "finish_reason": True}
COMPLETION = {
    **dict.fromkeys(("id", "object", "created", "model", "choices", "usage"), True),
    "system_fingerprint": True,
}
CHUNK = {**COMPLETION, "usage": False}
RESPONSE = {
    **dict.fromkeys(("id", "object", "created_at", "status", "model", "output", "usage"), True),
    **dict.fromkeys(("parallel_tool_calls", "tool_choice", "tools", "text", "truncation"), True),
    **dict.fromkeys(("temperature", "top_p", "metadata", "store", "background"), True),
    **dict.fromkeys(("error", "incomplete_details", "instructions", "max_output_tokens"), False),
    "previous_response_id": False,
}


def require_fields(value: dict[str, Any], fields: dict[str, bool]) -> None:
    assert set(fields) <= set(value), set(fields) - set(value)
    for name, filled in fields.items():
        assert value[name] is not None or not filled, name


def test_every_field_that_openai_publishes_is_there(serve: Callable[..., LocalServer]) -> None:
    server = serve()
    asked = {"model": "toy", "messages": ASK}
    _, whole = server.post("/v1/chat/completions", asked)
    require_fields(whole, COMPLETION)
    require_fields(whole["choices"][0], CHOICE)
    require_fields(whole["choices"][0]["message"], MESSAGE)
    assert set(whole["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}
    with client_of(server) as client:
        stream = client.chat.completions.create(
            model="toy", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        for chunk in stream:
            require_fields(chunk.to_dict(exclude_unset=True, exclude_none=False), CHUNK)
    _, plain = server.post("/v1/completions", {"model": "toy", "prompt": "Hi"})
    require_fields(plain, COMPLETION)
    _, response = server.post("/v1/responses", {"model": "toy", "input": "Hi"})
    require_fields(response, RESPONSE)
    assert response["output"][0]["content"][0]["annotations"] == []


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"stop": ["a", "b", "c", "d"]}, 200, None),
        ({"stop": None, "n": None, "user": None, "tools": None, "logit_bias": None}, 200, None),
        ({"logprobs": False, "top_logprobs": None}, 200, None),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"n": 0}, 400, "n"),
        ({"top_logprobs": 2}, 400, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"stream_options": None, "stream": None}, 200, None),
        ({"not_a_field": 1}, 400, "not_a_field"),
        ({"messages": []}, 400, "messages"),
        ({"messages": None}, 400, "messages"),
        ({"model": None}, 400, "model"),
        ({"metadata": {"a": "b"}, "store": False, "service_tier": "auto"}, 200, None),
        ({"seed": 5, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k"}, 200, None),
    ],
)
def test_what_openai_takes_and_refuses_is_taken_and_refused(
    serve: Callable[..., LocalServer], fields: dict[str, Any], status: int, param: str | None
) -> None:
    found, answer = serve().post(
        "/v1/chat/completions", {"model": "toy", "messages": ASK, **fields}
    )
    assert found == status, answer
    if status == 400:
        assert answer["error"]["param"] == param


def test_log_probabilities_come_without_a_number_of_best_ones(
    toy_server: LocalServer,
) -> None:
    with client_of(toy_server) as client:
        answer = client.chat.completions.create(
            model="toy-llama", messages=ASK, logprobs=True, max_tokens=3
        )
        held = client.chat.completions.create(
            model="toy-llama",
            messages=ASK,
            logprobs=True,
            top_logprobs=5,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"enum": [True, False]}},
            },
        )
    assert answer.choices[0].logprobs is not None
    assert [entry.top_logprobs for entry in answer.choices[0].logprobs.content or []] == [[]] * 3
    assert held.choices[0].logprobs is not None
    entries = held.choices[0].logprobs.content or []
    assert all(0 < len(entry.top_logprobs) <= 5 for entry in entries)
    assert json.loads("".join(entry.token for entry in entries)) in (True, False)


def test_a_streamed_completion_adds_up_to_the_whole_one(toy_server: LocalServer) -> None:
    asked: Any = {
        "model": "toy-llama",
        "prompt": "The quick",
        "max_tokens": 6,
        "temperature": 0,
        "logprobs": 2,
        "echo": True,
    }
    with client_of(toy_server) as client:
        whole = client.completions.create(**asked)
        chunks = list(
            client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        )
    *pieces, numbers = chunks
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    assert (numbers.choices, numbers.usage) == ([], whole.usage)
    assert all(piece.usage is None for piece in pieces)
    scores = [piece.choices[0].logprobs for piece in pieces]
    tokens = [token for score in scores if score for token in score.tokens or []]
    offsets = [at for score in scores if score for at in score.text_offset or []]
    assert whole.choices[0].logprobs is not None
    assert tokens == whole.choices[0].logprobs.tokens
    assert offsets == whole.choices[0].logprobs.text_offset
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
