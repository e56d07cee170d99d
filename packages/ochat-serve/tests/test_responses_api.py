"""`/v1/responses` as the official client reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from ochat_serve import ScriptedEngine
from ochat_serve.testing import LocalServer
from ochat_templates import Codec


def test_a_response_is_the_chats_text_whole_and_streamed(
    serve: Callable[..., LocalServer], connect: Callable[..., openai.OpenAI], codec: Codec
) -> None:
    engine = ScriptedEngine([*codec.encode_text("A café, 你好."), codec.eot_id])
    client = connect(serve(engine))
    whole = client.responses.create(model="toy", input="Hi", instructions="Be brief.")
    assert (whole.output_text, whole.status) == ("A café, 你好.", "completed")
    assert whole.usage is not None
    assert whole.usage.input_tokens == len(engine.requests[-1].prompt_ids)
    with client.responses.stream(model="toy", input="Hi", instructions="Be brief.") as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert engine.requests[0].prompt_ids == engine.requests[1].prompt_ids
    deltas = [i for i, kind in enumerate(events) if kind == "response.output_text.delta"]
    assert events[: deltas[0]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert events[deltas[-1] + 1 :] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_an_output_item_may_be_sent_back_and_roles_are_the_chats(
    serve: Callable[..., LocalServer], connect: Callable[..., openai.OpenAI]
) -> None:
    engine = ScriptedEngine()
    client = connect(serve(engine))
    first = client.responses.create(model="toy", input="the fox")
    history: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "the fox"}]},
        *(item.model_dump(exclude_none=True) for item in first.output),
        {"role": "user", "content": "the dog"},
    ]
    client.responses.create(model="toy", input=history)
    client.chat.completions.create(
        model="toy",
        messages=[
            {"role": "user", "content": "the fox"},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "the dog"},
        ],
    )
    assert engine.requests[-1].prompt_ids == engine.requests[-2].prompt_ids


def test_a_cut_response_is_incomplete(
    serve: Callable[..., LocalServer], connect: Callable[..., openai.OpenAI]
) -> None:
    client = connect(serve(ScriptedEngine([5] * 60)))
    cut = client.responses.create(model="toy", input="Hi", max_output_tokens=3)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call", "role": "user", "content": "x"}]}, "input.0.type"),
        ({"input": 3}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"background": True}, "background"),
    ],
)
def test_what_is_not_stateless_text_is_refused(
    serve: Callable[..., LocalServer], change: dict[str, Any], param: str
) -> None:
    status, body = serve().post("/v1/responses", {"model": "toy", "input": "Hi", **change})
    assert (status, body["error"]["param"]) == (400, param)
