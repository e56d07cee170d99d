from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data.cleaning import clean_conversation, is_blank
from ochat_templates import Conversation, Message

ROLES = {"u": "user", "a": "assistant"}


def conversation(*turns: str) -> Conversation:
    """Turns as `u:text` and `a:text`."""
    split = (turn.partition(":") for turn in turns)
    return Conversation(
        messages=tuple(Message(role=ROLES[r], content=text) for r, _, text in split)
    )


def cleaned(*turns: str) -> list[str] | None:
    result = clean_conversation(conversation(*turns)).conversation
    if result is None:
        return None
    return [f"{message.role[0]}:{message.content}" for message in result.messages]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["u:q", "a:x"], ["u:q", "a:x"]),
        (["a:hi", "u:q", "a:x"], ["u:q", "a:x"]),
        (["u:q", "a:x", "u:r"], ["u:q", "a:x"]),
        (["u:q", "u:r", "a:x"], ["u:q\n\nr", "a:x"]),
        (["u:q", "u:", "a: ", "a:x", "a:y"], ["u:q", "a:x\n\ny"]),
        (["u:q", "a:x", "u:r", "a:\u200b", "u:s", "a:z"], ["u:q", "a:x"]),
        (["u:q", "a:x", "u: ", "a:y", "u:s", "a:z"], ["u:q", "a:x"]),
        (["u:q\r\nr", "a:x\ry"], ["u:q\nr", "a:x\ny"]),
    ],
)
def test_a_conversation_is_repaired(turns: list[str], expected: list[str]) -> None:
    assert cleaned(*turns) == expected


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (["u:q"], "no answered question"),
        (["a:x"], "no answered question"),
        (["u:q", "a: \n\x00"], "empty answer"),
        (["u: ", "a:x"], "empty question"),
        ([], "no answered question"),
    ],
)
def test_nothing_left_has_a_reason(turns: list[str], reason: str) -> None:
    result = clean_conversation(conversation(*turns))
    assert result.conversation is None
    assert result.reason == reason


def test_code_keeps_its_indentation_and_spaces() -> None:
    code = "  def f(my_var):\n\n\n\treturn  my_var  # *x* _y_ <b>\n  "
    assert cleaned(f"u:{code}", f"a:{code}") == [f"u:{code}", f"a:{code}"]


def test_answers_of_different_weight_are_not_merged() -> None:
    messages = (
        Message(role="user", content="q"),
        Message(role="assistant", content="x", weight=1.0),
        Message(role="assistant", content="y", weight=0.0),
    )
    result = clean_conversation(Conversation(messages=messages))
    assert result.conversation is not None
    assert [message.content for message in result.conversation.messages] == ["q", "x"]
    assert result.repairs["answer of another weight removed"] == 1


@pytest.mark.parametrize("weights", [(None, 1.0), (1.0, None), (0.5, 0.5)])
def test_answers_that_count_equally_are_merged(weights: tuple[float | None, float | None]) -> None:
    first, second = weights
    messages = (
        Message(role="user", content="q"),
        Message(role="assistant", content="x", weight=first),
        Message(role="assistant", content="y", weight=second),
    )
    result = clean_conversation(Conversation(messages=messages))
    assert result.conversation is not None
    answer = result.conversation.messages[1]
    assert (answer.content, answer.loss_weight) == ("x\n\ny", 1.0 if first != 0.5 else 0.5)
    assert result.repairs == {"same role twice": 1}


@pytest.mark.parametrize("weights", [(None, 0.0), (0.0, None), (None, 0.5), (0.5, 0.0)])
def test_the_text_of_a_question_is_never_dropped_nor_learnt_against_its_source(
    weights: tuple[float | None, float | None],
) -> None:
    first, second = weights
    messages = (
        Message(role="user", content="q", weight=first),
        Message(role="user", content="r", weight=second),
        Message(role="assistant", content="x"),
    )
    result = clean_conversation(Conversation(messages=messages))
    assert result.conversation is not None
    question = result.conversation.messages[0]
    assert (question.content, question.loss_weight) == ("q\n\nr", 0.0)


def test_repairs_are_counted() -> None:
    result = clean_conversation(conversation("a:hi", "u:q", "u:r", "a:x\r\n", "u:s"))
    assert result.repairs == {
        "line ends": 1,
        "same role twice": 1,
        "leading answer removed": 1,
        "unanswered question removed": 1,
    }


def test_condition_and_system_are_kept() -> None:
    original = Conversation(
        messages=conversation("u:q", "a:x").messages, system="s\r\nt", condition="GPT4"
    )
    result = clean_conversation(original).conversation
    assert result is not None
    assert (result.system, result.condition) == ("s\nt", "GPT4")


@pytest.mark.parametrize(
    ("text", "blank"), [("", True), (" \n\t", True), ("\x07\u200b", True), (" .", False)]
)
def test_blank_means_that_nothing_would_be_seen(text: str, blank: bool) -> None:
    assert is_blank(text) is blank


@given(st.lists(st.tuples(st.sampled_from("ua"), st.text("x \r\n\x00", max_size=4)), max_size=8))
def test_what_is_left_alternates_and_ends_with_an_answer(turns: list[tuple[str, str]]) -> None:
    result = clean_conversation(conversation(*(f"{role}:{text}" for role, text in turns)))
    if result.conversation is None:
        assert result.reason
        return
    roles = [message.role for message in result.conversation.messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2)
    again = clean_conversation(result.conversation)
    assert again.conversation == result.conversation
    assert not again.repairs
