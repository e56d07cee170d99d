from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data import Record, RecordError
from ochat_data.formats import FORMATS, convert
from ochat_templates import Conversation, Message

HELLO = Conversation(
    messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [
        "items",
        "messages",
        "conversations",
        "from",
        "value",
        "role",
        "content",
        "weight",
        "system",
        "instruction",
        "input",
        "output",
        "model",
        "id",
        "condition",
        "type",
        "text",
    ]
)
chat_like = st.recursive(
    any_json | st.sampled_from(["human", "gpt", "user", "assistant", "system", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "value",
    [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"items": [{"from": "human", "value": "Hi"}, {"from": "chatgpt", "value": "Hello"}]},
        {"conversations": [{"role": "user", "content": "Hi"}, {"from": "bard", "value": "Hello"}]},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": "Hello", "tool_calls": None},
            ]
        },
        {"instruction": "Hi", "output": "Hello"},
        {"items": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    ],
)
def test_every_format_becomes_the_same_conversation(value: object) -> None:
    (record,) = convert(value, source="x.json")
    assert record.conversation == HELLO


@pytest.mark.parametrize(
    ("spelling", "role"),
    [
        ("human", "user"),
        ("user", "user"),
        ("Human ", "user"),
        ("gpt", "assistant"),
        ("assistant", "assistant"),
        ("chatgpt", "assistant"),
        ("bing", "assistant"),
        ("bard", "assistant"),
    ],
)
def test_every_spelling_of_a_role_is_known(spelling: str, role: str) -> None:
    (record,) = convert({"conversations": [{"from": spelling, "value": "x"}]}, source="x")
    assert [message.role for message in record.conversation.messages] == [role]


def test_a_leading_system_message_becomes_the_system_text() -> None:
    turns = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"}]
    (record,) = convert({"conversations": turns}, source="x")
    conversation = record.conversation
    assert conversation.system == "Be brief."
    assert len(conversation.messages) == 1


def test_an_alpaca_eval_output_names_its_generator_as_model() -> None:
    value = {"instruction": "Hi", "output": "Hello", "generator": "alpaca-7b", "dataset": "koala"}
    (record,) = convert(value, source="alpaca-7b.json")
    assert (record.model, record.source) == ("alpaca-7b", "alpaca-7b.json")


def test_an_alpaca_input_follows_its_instruction() -> None:
    value = {"instruction": "Sum up.", "input": "A b c.", "output": "C."}
    (record,) = convert(value, source="x")
    assert record.conversation.messages[0].content == "Sum up.\n\nA b c."


def test_text_parts_are_joined_by_line_breaks() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (record,) = convert({"messages": [{"role": "user", "content": parts}]}, source="x")
    assert record.conversation.messages[0].content == "a\nb"


def test_our_own_records_keep_id_condition_weight_and_source() -> None:
    messages = (
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello", weight=0.1),
    )
    conversation = Conversation(messages=messages, system="S", condition="GPT3")
    record = Record.create(conversation, model="m", source="first.json")
    assert convert(record.to_json(), source="second.jsonl") == [record]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "a record to be a JSON object, got a string"),
        ({"id": 1, "body": "x"}, "no known chat format.*'id', 'body'"),
        ({"conversations": "x"}, "a list under 'conversations', got a string"),
        ({"conversations": []}, "holds no messages"),
        ({"conversations": [7]}, r"conversations\[0\] to be a JSON object, got a number"),
        ({"conversations": [{"value": "x"}]}, r"conversations\[0\].*under 'role', got nothing"),
        ({"conversations": [{"from": "tool", "value": "x"}]}, "messages of 'tool' cannot be kept"),
        ({"conversations": [{"from": "gpt", "value": 3}]}, "string under 'value', got a number"),
        ({"messages": [{"role": "user", "content": None}]}, "under 'content', got nothing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            r"content\[0\] is no text part",
        ),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
            "'tool_calls' cannot be kept",
        ),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
            "system message may stand only first",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": -1}]},
            r"messages\[0\]: a loss weight must be",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": 10**400}]},
            r"messages\[0\]: the loss weight is too large",
        ),
        ({"messages": [{"role": "user", "content": "x"}], "model": "\ud800"}, "'model' has a lone"),
        ({"instruction": "x"}, "string under 'output', got nothing"),
        ({"instruction": "x", "output": "\ud800"}, "lone surrogate"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_the_field(value: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        convert(value, source="x.json")


@given(value=chat_like, format_name=st.sampled_from(["auto", *FORMATS]))
def test_any_json_becomes_a_record_or_a_record_error(value: object, format_name: str) -> None:
    try:
        records = convert(value, source="x.json", format_name=format_name)
    except RecordError:
        return
    assert records
    for record in records:
        assert record.conversation.messages or record.text
        assert Record.from_json(record.to_json()) == record
