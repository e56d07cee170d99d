from __future__ import annotations

from collections.abc import Callable

import pytest

from ochat_data import LabelError, Record
from ochat_data.labelling import LabelMap, label_record
from ochat_templates import Conversation, Message

C_RLFT = LabelMap.parse(["gpt-4=GPT4", "gpt-3.5-turbo=GPT3"], weights="crlft-0.1")


def weights(record: Record | None) -> list[float | None]:
    assert record is not None
    return [message.weight for message in record.conversation.messages]


def test_c_rlft_gives_the_expert_one_and_the_others_a_tenth(talk: Callable[..., Record]) -> None:
    expert = label_record(talk("q", "a", "r", "b", model="gpt-4"), C_RLFT)
    other = label_record(talk("q", "a", model="gpt-3.5-turbo"), C_RLFT)
    assert expert is not None
    assert other is not None
    assert expert.conversation.condition == "GPT4"
    assert weights(expert) == [None, 1.0, None, 1.0]
    assert other.conversation.condition == "GPT3"
    assert weights(other) == [None, 0.1]


def test_several_models_may_share_the_experts_condition(talk: Callable[..., Record]) -> None:
    labels = LabelMap.parse(["gpt-4=GPT4", "gpt-4-0613=GPT4", "*=GPT3"], weights="crlft-0.1")
    assert weights(label_record(talk("q", "a", model="gpt-4-0613"), labels)) == [None, 1.0]
    assert weights(label_record(talk("q", "a", model=""), labels)) == [None, 0.1]


def test_uniform_weights_are_all_one(talk: Callable[..., Record]) -> None:
    labels = LabelMap.parse(["a=X", "b=Y"])
    assert weights(label_record(talk("q", "a", model="b", weight=0.1), labels)) == [None, 1.0]


def test_labelling_twice_changes_nothing(talk: Callable[..., Record]) -> None:
    once = label_record(talk("q", "a", model="gpt-3.5-turbo"), C_RLFT)
    assert once is not None
    assert label_record(once, C_RLFT) == once


def test_an_answer_that_is_not_to_be_learnt_stays_so() -> None:
    messages = (
        Message(role="user", content="q"),
        Message(role="assistant", content="a", weight=0.0),
        Message(role="user", content="r"),
        Message(role="assistant", content="b"),
    )
    record = Record.create(Conversation(messages=messages), model="gpt-4")
    assert weights(label_record(record, C_RLFT)) == [None, 0.0, None, 1.0]


def test_the_id_stays(talk: Callable[..., Record]) -> None:
    record = talk("q", "a")
    labelled = label_record(record, C_RLFT)
    assert labelled is not None
    assert labelled.id == record.id


def test_a_model_that_is_not_named_has_no_label(talk: Callable[..., Record]) -> None:
    assert label_record(talk("q", "a", model="GPT-4"), C_RLFT) is None


def test_a_model_name_may_hold_an_equals_sign() -> None:
    assert LabelMap.parse(["a=b=GPT4"]).condition_of("a=b") == "GPT4"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["gpt-4"], "MODEL=CONDITION"),
        (["=GPT4"], "MODEL=CONDITION"),
        (["a=X", "a=Y"], "names the model 'a' twice"),
        ([], "at least one --map"),
    ],
)
def test_a_wrong_map_is_refused(entries: list[str], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelMap.parse(entries)


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(LabelError, match="crlft-0.1"):
        LabelMap.parse(["a=X"], weights="best")
