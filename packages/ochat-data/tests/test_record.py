from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from ochat_data import Record, RecordError
from ochat_templates import Conversation, Message


def test_a_record_survives_its_line(talk: Callable[..., Record]) -> None:
    record = talk("Hi", "  Hello\n", condition="GPT4", weight=0.1)
    assert Record.from_json(orjson.loads(record.to_line())) == record


def test_the_id_depends_on_content_model_and_source_only() -> None:
    conversation = Conversation(messages=(Message(role="user", content="Hi"),))
    record = Record.create(conversation, model="gpt-4", source="a.json")
    assert record.id == "b2af029336258989cb477fd373c0c077"
    assert record == Record.create(conversation, model="gpt-4", source="a.json")
    assert record.id != Record.create(conversation, model="gpt-3.5", source="a.json").id
    assert record.id != Record.create(conversation, model="gpt-4", source="b.json").id


def test_the_id_given_at_import_is_kept() -> None:
    fields = {"id": "0" * 32, "items": [{"role": "user", "content": "Hi"}]}
    assert Record.from_json(fields).id == "0" * 32


def test_a_foreign_id_is_replaced() -> None:
    fields = {"id": "chat-7", "items": [{"role": "user", "content": "Hi"}]}
    assert len(Record.from_json(fields).id) == 32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a record to be a JSON object, got a list"),
        ({"items": []}, "no messages"),
        ({"items": [{"role": "cat", "content": "Hi"}]}, r"items\[0\].*unknown role 'cat'"),
        ({"items": [{"role": "user", "content": "Hi"}], "model": 4}, "string under 'model'"),
        (
            {"items": [{"role": "user", "content": "Hi"}], "model": "\ud800"},
            "'model' has a lone surrogate at character 0",
        ),
        (
            {"id": "0" * 32, "items": [{"role": "user", "content": "Hi"}], "source": "a\udcff"},
            "'source' has a lone surrogate at character 1",
        ),
        (
            {"items": [{"role": "user", "content": "Hi", "weight": 10**400}]},
            r"items\[0\].*too large",
        ),
    ],
)
def test_a_wrong_field_is_named(value: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Record.from_json(value)
