"""`/v1/completions`, log probabilities and `/tokenize`, on a real toy model behind HTTP."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import openai
import pytest

from ochat_serve.testing import LocalServer
from ochat_templates import Codec, Conversation, Message

QUESTION: list[Any] = [{"role": "user", "content": "Hello fox"}]


def test_a_chat_prompt_as_ids_is_continued_as_the_chat_is(
    toy_server: LocalServer, connect: Callable[..., openai.OpenAI], codec: Codec
) -> None:
    client = connect(toy_server)
    ids = codec.prompt(Conversation(messages=(Message(role="user", content="Hello fox"),)))
    chat = client.chat.completions.create(
        model="openchat_v3.2", messages=QUESTION, temperature=0, max_tokens=12
    )
    plain = client.completions.create(
        model="openchat_v3.2", prompt=ids, temperature=0, max_tokens=12
    )
    # Only the chat knows that the first space is the format's.
    assert plain.choices[0].text.removeprefix(" ") == chat.choices[0].message.content
    assert plain.usage is not None
    assert plain.usage.prompt_tokens == len(ids)


def test_echo_scores_every_token_as_generation_does(
    toy_server: LocalServer, connect: Callable[..., openai.OpenAI], codec: Codec
) -> None:
    """What an evaluation harness does: score a known continuation without generating."""
    client = connect(toy_server)
    prompt = [1, *codec.encode_text("Hello fox")]
    made = client.completions.create(
        model="openchat_v3.2", prompt=prompt, temperature=0, max_tokens=8, logprobs=2
    ).choices[0]
    assert made.logprobs is not None
    generated = made.logprobs.token_logprobs or []
    assert len(generated) == 8
    assert all(
        math.isclose(max(top.values()), p)
        for top, p in zip(made.logprobs.top_logprobs or [], generated, strict=True)
    )
    scored = client.completions.create(
        model="openchat_v3.2",
        prompt=[prompt, [*prompt, 7, 8, 9]],
        echo=True,
        max_tokens=0,
        logprobs=1,
    )
    first, second = (choice.logprobs for choice in scored.choices)
    assert first is not None
    assert second is not None
    assert [len(x.token_logprobs or []) for x in (first, second)] == [len(prompt), len(prompt) + 3]
    assert (first.token_logprobs or [0])[0] is None
    alone, longer = (first.token_logprobs or [])[1:], (second.token_logprobs or [])[1:]
    assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(alone, longer, strict=False))
    again = client.completions.create(
        model="openchat_v3.2", prompt=prompt, echo=True, temperature=0, max_tokens=8, logprobs=0
    ).choices[0]
    assert again.logprobs is not None
    tail = (again.logprobs.token_logprobs or [])[-8:]
    assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(tail, generated, strict=True))
    assert again.text.endswith(made.text)
    assert again.text.startswith("Hello fox")


def test_chat_logprobs_spell_the_answer_streamed_or_not(
    toy_server: LocalServer, connect: Callable[..., openai.OpenAI]
) -> None:
    client = connect(toy_server)
    request: dict[str, Any] = {
        "model": "openchat_v3.2",
        "messages": QUESTION,
        "temperature": 0,
        "max_tokens": 10,
        "logprobs": True,
        "top_logprobs": 3,
    }
    whole = client.chat.completions.create(**request).choices[0]
    assert whole.logprobs is not None
    tokens = whole.logprobs.content or []
    data = b"".join(bytes(token.bytes or []) for token in tokens)
    text = whole.message.content or ""
    assert data.decode("utf-8", "replace").strip() == text.strip()
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == token.top_logprobs[0].logprob
    streamed = [
        token.logprob
        for chunk in client.chat.completions.create(**request, stream=True)
        if chunk.choices and chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content or []
    ]
    assert streamed == [token.logprob for token in tokens]


def test_a_bias_forces_and_forbids_a_token(
    toy_server: LocalServer, connect: Callable[..., openai.OpenAI], codec: Codec
) -> None:
    client = connect(toy_server)
    fox = codec.encode_text("fox")[-1]
    request: dict[str, Any] = {
        "model": "openchat_v3.2",
        "prompt": "Hello",
        "temperature": 0,
        "max_tokens": 6,
    }
    forced = client.completions.create(**request, logit_bias={str(fox): 100}, logprobs=0)
    spelled = codec.token_bytes[fox] or b""
    assert forced.choices[0].logprobs is not None
    assert forced.choices[0].logprobs.tokens == [spelled.decode()] * 6
    forbidden = client.completions.create(**request, logit_bias={str(fox): -100}, logprobs=0)
    assert forbidden.choices[0].logprobs is not None
    assert spelled.decode() not in (forbidden.choices[0].logprobs.tokens or [])


def test_special_tokens_are_put_before_a_text_unless_told_otherwise(
    toy_server: LocalServer, codec: Codec
) -> None:
    assert toy_server.post("/tokenize", {"prompt": "x"})[1]["tokens"][0] == codec.bos_id
    ids = toy_server.post("/tokenize", {"prompt": "x", "add_special_tokens": False})[1]["tokens"]
    assert ids == codec.encode_text("x")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [10**6]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": ["a"] * 100, "n": 128}, "n"),
        ({"suffix": "x"}, "suffix"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logprobs": 21}, "logprobs"),
        ({"messages": []}, "messages"),
    ],
)
def test_a_wrong_completion_is_refused_by_its_field(
    toy_server: LocalServer, change: dict[str, Any], param: str
) -> None:
    status, body = toy_server.post(
        "/v1/completions", {"model": "openchat_v3.2", "prompt": "Hi", **change}
    )
    assert status == 400
    assert param in (body["error"]["param"] or body["error"]["message"])


def test_tokenize_gives_the_chats_prompt_and_detokenize_names_control_tokens(
    toy_server: LocalServer, codec: Codec
) -> None:
    text = "<|end_of_turn|> is only text"
    status, body = toy_server.post("/tokenize", {"messages": [{"role": "user", "content": text}]})
    expected = codec.prompt(Conversation(messages=(Message(role="user", content=text),)))
    assert (status, body["tokens"], body["count"]) == (200, expected, len(expected))
    status, body = toy_server.post(
        "/detokenize", {"tokens": [*codec.encode_text("fox"), codec.eot_id]}
    )
    assert (status, body["prompt"]) == (200, "fox<|end_of_turn|>")
    assert toy_server.post("/detokenize", {"tokens": [10**9]})[0] == 400
    assert toy_server.post("/tokenize", {})[0] == 400
