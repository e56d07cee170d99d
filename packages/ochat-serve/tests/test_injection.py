"""Nothing that a caller writes becomes a control token: every template, every field of text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_serve import ScriptedEngine, ServedModel, build_app
from ochat_serve.testing import LocalServer, local_server
from ochat_templates import Codec, get_template, load_codec, template_names

EVERY_CONTROL_TOKEN = sorted(
    {token for name in template_names() for token in get_template(name).control_tokens}
)
# Role texts as the formats spell them, and characters with which others mark or join tokens.
FORGED = (
    *("GPT4 Correct User:", "GPT4 Assistant: ", "Human: ", "Assistant:", "System:", "user", "\n\n"),
    *(
        "\u2581",
        "\ufffd",
        "\ue000",
        "\ue00032000",
        "\u200b",
        "\x00",
        "\ufeff",
        "<|",
        "|>",
        "<",
        ">",
    ),
    *("<unk>", "<pad>", "<0x0A>", "<|im_start|>assistant\n", "<|eot_id|>", "[INST]", " "),
)
FRAGMENTS = st.one_of(
    st.sampled_from(EVERY_CONTROL_TOKEN),
    st.sampled_from(FORGED),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)
TEXTS = st.lists(FRAGMENTS, min_size=1, max_size=5).map("".join)


@dataclass(frozen=True)
class Target:
    """A server whose engine remembers the ids it was given."""

    server: LocalServer
    engine: ScriptedEngine
    codec: Codec

    def control_ids(self, path: str, body: dict[str, Any]) -> tuple[int, list[int]]:
        """Status, and the control ids of the prompt if there was one."""
        before = len(self.engine.requests)
        status, answer = self.server.post(path, {"model": "toy", **body})
        if status != 200:
            assert status == 400, answer
            assert len(self.engine.requests) == before
            return status, []
        control = set(self.codec.control_ids.values())
        return status, [i for i in self.engine.requests[-1].prompt_ids if i in control]


@contextmanager
def target(codec: Codec) -> Iterator[Target]:
    engine = ScriptedEngine([5], max_model_len=100_000)
    with local_server(build_app(engine, ServedModel.of(codec, "toy")), engine) as server:
        engine.requests.clear()
        yield Target(server, engine, codec)


def split(text: str, at: int, kind: str) -> list[dict[str, str]]:
    """A text in two content parts, cut anywhere, so also within a token's name."""
    at %= len(text) + 1
    return [{"type": kind, "text": text[:at]}, {"type": kind, "text": text[at:]}]


def requests(text: str, at: int) -> list[tuple[str, dict[str, Any]]]:
    """Every way in which a text gets into a prompt."""
    said = {"role": "user", "content": text}
    answered = {"role": "assistant", "content": text}
    chat, response = "/v1/chat/completions", "/v1/responses"
    in_parts = {"role": "user", "content": split(text, at, "input_text")}
    return [
        (chat, {"messages": [said]}),
        (chat, {"messages": [said, answered, said]}),
        (chat, {"messages": [said, answered]}),
        (chat, {"messages": [{"role": "system", "content": text}, said]}),
        (chat, {"messages": [{"role": "developer", "content": text}, said]}),
        (chat, {"messages": [{"role": "user", "content": split(text, at, "text")}]}),
        (chat, {"messages": [said], "stop": [text[:200], "x"], "user": text}),
        (response, {"input": text}),
        (response, {"input": text, "instructions": text}),
        (response, {"input": [in_parts, answered, said]}),
        ("/v1/completions", {"prompt": text}),
        ("/v1/completions", {"prompt": [text]}),
    ]


@pytest.fixture(scope="module", params=template_names())
def any_target(request: pytest.FixtureRequest, tokenizer_file: Path) -> Iterator[Target]:
    with target(load_codec(tokenizer_file, request.param)) as ready:
        yield ready


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS, at=st.integers(0, 50))
def test_no_text_becomes_a_control_token(any_target: Target, text: str, at: int) -> None:
    status, needed = any_target.control_ids(*requests("plain", 0)[0])
    assert status == 200
    assert needed  # or nothing would be compared below
    for (path, body), (_, plain) in zip(requests(text, at), requests("plain", at), strict=True):
        assert any_target.control_ids(path, body) == any_target.control_ids(path, plain), body


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS)
def test_a_condition_is_refused_or_is_plain_text(any_target: Target, text: str) -> None:
    for path, name in (("/v1/chat/completions", "messages"), ("/v1/responses", "input")):
        body = {name: [{"role": "user", "content": "Hi"}]}
        status, found = any_target.control_ids(path, {**body, "condition": text})
        assert status == 400 or found == any_target.control_ids(path, body)[1]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS.filter(lambda text: text not in ("user", "assistant", "system", "developer")))
def test_roles_names_and_tool_fields_take_no_text(any_target: Target, text: str) -> None:
    said = {"role": "user", "content": "Hi"}
    for path, body in (
        ("/v1/chat/completions", {"messages": [{"role": text, "content": "Hi"}]}),
        ("/v1/chat/completions", {"messages": [said, {"role": text, "content": "Hi"}]}),
        ("/v1/chat/completions", {"messages": [{**said, "name": text}]}),
        ("/v1/chat/completions", {"messages": [{**said, "tool_call_id": text}]}),
        ("/v1/chat/completions", {"messages": [said], "tools": [{"type": text}]}),
        ("/v1/chat/completions", {"messages": [said], text: text}),
        ("/v1/responses", {"input": [{**said, "type": text}]}),
        ("/v1/responses", {"input": [{"role": text, "content": "Hi"}]}),
    ):
        assert any_target.control_ids(path, body)[0] == 400, body


def test_ids_given_as_ids_are_the_callers_own(any_target: Target) -> None:
    """The one way to write a control token: as its id, where ids are asked for."""
    codec = any_target.codec
    ids = [5, codec.eot_id, 6]
    assert any_target.control_ids("/v1/completions", {"prompt": ids}) == (200, [codec.eot_id])
