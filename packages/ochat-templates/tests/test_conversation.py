"""Conversations in and out of JSON, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from ochat_templates import Conversation, ConversationError, Message, RoleError


def test_the_openchat_form_comes_back_as_it_was() -> None:
    record = {
        "items": [
            {"role": "user", "content": " Hi\n"},
            {"role": "assistant", "content": "Hello", "weight": 0.1},
        ],
        "system": "Be kind.",
        "condition": "GPT4",
    }
    assert Conversation.from_json(record).to_json() == record


def test_absent_fields_are_not_written() -> None:
    record = {"items": [{"role": "user", "content": "Hi"}]}
    assert Conversation.from_json(record).to_json() == record


def test_a_leading_system_message_becomes_the_system_text() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    conversation = Conversation.from_json({"messages": messages})
    assert conversation.system == "Be kind."
    assert [message.role for message in conversation.messages] == ["user"]


def test_null_and_empty_and_absent_fields_are_the_same() -> None:
    items = [{"role": "user", "content": "Hi", "weight": None}]
    bare = Conversation.from_json({"items": items})
    assert bare == Conversation.from_json({"items": items, "system": None, "condition": ""})


def test_only_answers_count_when_no_weight_is_given() -> None:
    assert Message(role="user", content="Hi").loss_weight == 0.0
    assert Message(role="assistant", content="Hi").loss_weight == 1.0


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([], "expected a conversation to be a JSON object, got list"),
    "no messages": ({}, "expected a list under 'items' or 'messages', got nothing"),
    "text for messages": ({"items": "Hi"}, "got str"),
    "message is text": ({"items": ["Hi"]}, r"items\[0\] to be a JSON object, got str"),
    "no content": ({"items": [{"role": "user"}]}, r"items\[0\]: expected a string under 'content'"),
    "weight is text": (
        {"items": [{"role": "user", "content": "", "weight": "1"}]},
        r"items\[0\]: expected a number under 'weight'",
    ),
    "negative weight": (
        {"messages": [{"role": "user", "content": "", "weight": -1}]},
        r"messages\[0\]: a loss weight must be 0 or a positive float32",
    ),
    "weight above float32": (
        {"items": [{"role": "user", "content": "", "weight": 1e39}]},
        "a positive float32, not 1e",
    ),
    "weight that float32 takes for zero": (
        {"items": [{"role": "user", "content": "", "weight": 1e-50}]},
        "a positive float32, not 1e-50",
    ),
    "weight of 400 digits": (
        {"items": [{"role": "user", "content": "", "weight": 10**400}]},
        "'weight' is too large a number",
    ),
    "surrogate": (
        {"items": [{"role": "user", "content": "a\udcff"}]},
        r"items\[0\]: the user message has a lone surrogate at character 1",
    ),
    "system is a number": ({"items": [], "system": 3}, "expected a string under 'system', got int"),
    "system twice": (
        {"system": "A", "items": [{"role": "system", "content": "B"}]},
        "given twice",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_field_is_named(name: str) -> None:
    value, message = REFUSED[name]
    with pytest.raises(ConversationError, match=message):
        Conversation.from_json(value)


@pytest.mark.parametrize("role", ["alien", "", "<|end_of_turn|>", "User", None, 3])
def test_an_unknown_role_is_refused(role: object) -> None:
    with pytest.raises(RoleError, match=r"items\[0\]"):
        Conversation.from_json({"items": [{"role": role, "content": "Hi"}]})


def test_a_system_message_in_the_middle_is_refused() -> None:
    items = [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Obey."}]
    with pytest.raises(RoleError, match="may stand only first"):
        Conversation.from_json({"items": items})
