"""Answers held to a JSON schema: whatever the model is, what it says is valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import OpenAI
from pydantic import BaseModel

from ochat_serve import SamplingParams, ScriptedEngine
from ochat_serve.chat.text import AnswerText
from ochat_serve.engine.grammar import Constraints, complaint
from ochat_serve.engine.vocabulary import Vocabulary
from ochat_serve.testing import LocalServer
from ochat_templates import Codec

NAMES = st.sampled_from(["a", "b", "name", "größe", 'quo"te', "x y", "<|end_of_turn|>"])


def objects(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def build(fields: dict[str, Any], required: int, more: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": fields,
            "required": list(fields)[:required],
            "additionalProperties": more,
        }

    fields = st.dictionaries(NAMES, children, max_size=3)
    return st.builds(build, fields, st.integers(0, 3), st.sampled_from([False, {"type": "null"}]))


def arrays(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def build(items: dict[str, Any], least: int, more: int) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + more}

    return st.builds(build, children, st.integers(0, 2), st.integers(0, 2))


LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"type": "string", "maxLength": 6},
            {"type": "string", "pattern": "^[a-cé]{1,3}$"},
            {"type": ["integer", "null"], "minimum": -5, "maximum": 5},
            {"type": "number", "minimum": 0, "maximum": 1},
            {"$ref": "#/$defs/leaf"},
            {"$ref": "#/$defs/chain"},
        ]
    ),
    st.lists(
        st.sampled_from(["red", "größe", "</s>", 1, -2.5, None, True, [1, "x"], {"k": {}}]),
        min_size=1,
        max_size=3,
    ).map(lambda values: {"enum": values}),
    st.sampled_from([{"const": "<|end_of_turn|>"}, {"const": {"a": [1, {}]}}]),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each}),
    ),
    max_leaves=6,
)
DEFINITIONS = {
    "leaf": {"type": "string", "enum": ["one", "two"]},
    "chain": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/chain"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def require_valid() -> Callable[[object, dict[str, Any]], None]:
    """Somebody else's opinion of what a schema means."""
    return pytest.importorskip("jsonschema").validate


@pytest.fixture(scope="module")
def constraints(codec: Codec) -> Constraints:
    return Constraints(Vocabulary.of(codec))


def drawn(constraints: Constraints, codec: Codec, schema: str, seed: int) -> list[int]:
    """The ids of an answer of a model that knows nothing, up to four hundred."""
    import torch

    from ochat_serve.engine.sampler import Sampler

    sampler = Sampler(SamplingParams(seed=seed, logprobs=2), (), constraints.begin(schema))
    generator = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    while len(ids) < 400 and ids[-1:] != [codec.eot_id]:
        # More ids than the tokenizer has, as in a padded model.
        ids.append(sampler.choose(torch.randn(codec.vocab_size + 7, generator=generator) * 3))
        assert sampler.reported is not None
        assert sampler.reported.logprob > float("-inf")
        assert all(value > float("-inf") for _, value in sampler.reported.top)
    return ids


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(schema=SCHEMAS, seed=st.integers(0, 2**31))
def test_a_model_that_knows_nothing_gives_valid_answers(
    constraints: Constraints,
    codec: Codec,
    require_valid: Callable[[object, dict[str, Any]], None],
    schema: dict[str, Any],
    seed: int,
) -> None:
    held = {**schema, "$defs": DEFINITIONS}
    assert complaint(json.dumps(held)) is None
    ids = drawn(constraints, codec, json.dumps(held), seed)
    text = AnswerText(codec, skip_special_tokens=False)
    said = text.push([i for i in ids if i != codec.eot_id])[0] + text.finish()[0]
    # The end of turn ends it, and no other control token is among the ids.
    assert not {*codec.control_ids.values()} & {*ids[:-1]}
    if ids[-1] == codec.eot_id:
        require_valid(json.loads(said), held)
    else:
        # Nothing else above is without end.
        assert "next" in said or '"additionalProperties": {' in json.dumps(schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "colour"}, "colour"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"type": "string", "pattern": "("}, "regex|pattern|unclosed"),
        ({"not": {"type": "string"}}, "not"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "registry"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_reason(
    toy_server: LocalServer, schema: dict[str, Any], reason: str
) -> None:
    asked = [{"role": "user", "content": "Hi"}]
    chosen = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, answer = toy_server.post(
        "/v1/chat/completions",
        {"model": "toy-llama", "messages": asked, "response_format": chosen},
    )
    assert status == 400
    assert answer["error"]["param"] == "response_format"
    assert answer["error"]["message"].startswith("Invalid schema for response_format: ")
    assert any(word in answer["error"]["message"] for word in reason.split("|")), answer
    flat = {"type": "json_schema", "name": "x", "schema": schema}
    status, answer = toy_server.post(
        "/v1/responses", {"model": "toy-llama", "input": "Hi", "text": {"format": flat}}
    )
    assert (status, answer["error"]["param"]) == (400, "text.format.schema")


@pytest.mark.parametrize(
    ("chosen", "param"),
    [
        ({"type": "yaml"}, "response_format.type"),
        ({}, "response_format.type"),
        ({"type": "json_schema"}, "response_format"),
        ({"type": "json_object", "json_schema": {"name": "x"}}, "response_format"),
        (
            {"type": "json_schema", "json_schema": {"schema": {}}},
            "response_format.json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}},
            "response_format.json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": [1]}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_a_wrong_response_format_is_refused_by_name(
    toy_server: LocalServer, chosen: dict[str, Any], param: str
) -> None:
    asked = [{"role": "user", "content": "Hi"}]
    status, answer = toy_server.post(
        "/v1/chat/completions",
        {"model": "toy-llama", "messages": asked, "response_format": chosen},
    )
    assert (status, answer["error"]["param"]) == (400, param)


def test_what_would_keep_the_answer_from_ending_is_refused(toy_server: LocalServer) -> None:
    for field in ({"ignore_eos": True}, {"min_tokens": 5}):
        status, answer = toy_server.post(
            "/v1/chat/completions",
            {
                "model": "toy-llama",
                "messages": [{"role": "user", "content": "Hi"}],
                "response_format": {"type": "json_object"},
                **field,
            },
        )
        assert (status, answer["error"]["param"]) == (400, next(iter(field)))


def test_an_engine_that_cannot_keep_a_schema_refuses_it(
    serve: Callable[..., LocalServer],
) -> None:
    server = serve(ScriptedEngine())
    asked = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]}
    status, answer = server.post(
        "/v1/chat/completions", {**asked, "response_format": {"type": "json_object"}}
    )
    assert (status, answer["error"]["param"]) == (400, "response_format")
    assert server.post("/v1/chat/completions", {**asked, "response_format": {"type": "text"}})[0]


class Answer(BaseModel):
    """What the tests below ask for; bounded, because the model knows nothing."""

    colour: str
    number: int | None
    tags: list[bool]

    model_config = {
        "json_schema_extra": {
            "properties": {
                "colour": {"type": "string", "maxLength": 8},
                "number": {"type": "integer", "minimum": 0, "maximum": 99},
                "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
            }
        }
    }


SCHEMA = Answer.model_json_schema()
ASKED: Any = [{"role": "user", "content": "Which colour?"}]


def test_the_official_client_parses_an_answer_into_a_model(
    toy_server: LocalServer, connect: Callable[..., OpenAI]
) -> None:
    client = connect(toy_server)
    for seed in range(4):
        parsed = client.chat.completions.parse(
            model="toy-llama", messages=ASKED, response_format=Answer, seed=seed
        )
        assert parsed.choices[0].finish_reason == "stop"
        assert isinstance(parsed.choices[0].message.parsed, Answer)
    response = client.responses.parse(model="toy-llama", input="Which?", text_format=Answer)
    assert response.status == "completed"
    assert isinstance(response.output_parsed, Answer)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="toy-llama", messages=ASKED, response_format=Answer, max_tokens=3
        )


def test_a_stream_carries_the_same_json_and_the_reason_for_its_end(
    toy_server: LocalServer, connect: Callable[..., OpenAI]
) -> None:
    client = connect(toy_server)
    chosen: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    common: Any = {"model": "toy-llama", "messages": ASKED, "response_format": chosen, "seed": 3}
    whole = client.chat.completions.create(**common)
    pieces = list(client.chat.completions.create(**common, stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert said == whole.choices[0].message.content
    Answer.model_validate_json(said)
    assert pieces[-1].choices[0].finish_reason == "stop"
    with client.chat.completions.stream(
        model="toy-llama", messages=ASKED, response_format=Answer, seed=3
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Answer.model_validate_json(said)
    cut = list(client.chat.completions.create(**common, stream=True, max_tokens=4))
    assert cut[-1].choices[0].finish_reason == "length"


def test_any_object_comes_where_only_json_was_asked_for(toy_server: LocalServer) -> None:
    """An answer of this model rarely ends by itself; what comes is the beginning of an object."""
    asked = {"model": "toy-llama", "messages": ASKED, "max_tokens": 60, "seed": 1}
    _, chat = toy_server.post(
        "/v1/chat/completions", {**asked, "response_format": {"type": "json_object"}, "n": 3}
    )
    for choice in chat["choices"]:
        said = choice["message"]["content"]
        assert said.startswith("{")
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(said), dict)


def test_a_discriminated_union_can_be_kept(constraints: Constraints, codec: Codec) -> None:
    kinds = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "size": {"type": "integer", "maximum": 9}},
            "required": ["kind"],
            "additionalProperties": False,
        }
        for kind in ("cat", "dog")
    ]
    schema = json.dumps({"oneOf": kinds})
    assert complaint(schema) is None
    for seed in range(5):
        ids = drawn(constraints, codec, schema, seed)
        assert json.loads(codec.decode(ids[:-1]))["kind"] in ("cat", "dog")


def test_transformers_reads_the_bare_tokens_as_the_codec_does(codec: Codec, tmp_path: Path) -> None:
    """As vLLM does, to know which tokens a schema allows."""
    from transformers import PreTrainedTokenizerFast

    Vocabulary.of(codec).write(tmp_path)
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer.eos_token_id == codec.eot_id
    assert len(tokenizer) == codec.vocab_size
    ids = codec.encode_text("A café in Zürich: 你好, 12\n")
    assert tokenizer.decode(ids) == b"".join(codec.token_bytes[i] or b"" for i in ids).decode()
    closed = [i for i, data in enumerate(codec.token_bytes) if data is None]
    assert set(closed) <= set(tokenizer.all_special_ids) | {
        i for i, token in tokenizer.added_tokens_decoder.items() if token.special
    }


def test_a_schema_nested_beyond_reason_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"type": "array", "items": schema}
    assert complaint(json.dumps(schema)) is None
    for _ in range(40):
        schema = {"anyOf": [schema]}
    assert "64 levels" in (complaint(json.dumps(schema)) or "")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ('{"type": "integer", "multipleOf": 999983}', "multipleOf"),
        ('{"items": {"type": "number", "multipleOf": 0.01}}', None),
        ('{"items": {"type": "number", "multipleOf": 0.123457}}', "multipleOf"),
        ('{"type": "integer", "multipleOf": 1e9}', "multipleOf"),
        ('{"type": "integer", "multipleOf": 1e400}', "multipleOf"),
        (json.dumps({"enum": [f"value {i}" for i in range(10_000)]}), "characters"),
        ('{"type": "string", "maxLength": 100000000}', None),
    ],
)
def test_a_schema_that_would_hold_the_server_up_is_refused(schema: str, reason: str | None) -> None:
    found = complaint(schema)
    assert (found is None) if reason is None else (reason in (found or ""))
