"""Examples fit a length by every policy of past releases, and conversations are split whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data import Record
from ochat_data.splitting import split_record
from ochat_data.truncation import exchange_ends, fit, message_starts, trim
from ochat_templates import Codec, Conversation, Encoded, Message, Span

Talk = Callable[..., Record]
CHATS = st.lists(st.text("ab ", max_size=12), min_size=2, max_size=12).map(
    lambda texts: Conversation(
        messages=tuple(
            Message(role=("user", "assistant")[index % 2], content=text)
            for index, text in enumerate(texts)
        ),
        system="Be brief." if len(texts) % 3 == 0 else "",
        condition="GPT4",
    )
)


def supervised(encoded: Encoded) -> list[tuple[int, float]]:
    return [
        (token, weight)
        for token, weight in zip(encoded.ids, encoded.weights(), strict=True)
        if weight
    ]


@given(chat=CHATS, length=st.integers(2, 120))
def test_no_policy_makes_an_example_that_is_too_long(
    codec: Codec, chat: Conversation, length: int
) -> None:
    encoded = codec.encode(chat)
    for policy in ("cut", "cut-trim", "turns", "split", "drop"):
        fitted = fit(encoded, length, policy)
        assert all(0 < len(example.ids) <= length for example in fitted.examples)
        if policy == "cut":
            assert fitted.examples[0].ids == encoded.ids[:length]
            assert fitted.examples[0].weights() == encoded.weights()[:length]
        if policy == "drop":
            assert bool(fitted.examples) == (len(encoded.ids) <= length)


@given(chat=CHATS, length=st.integers(40, 120))
def test_splitting_trains_every_token_once_and_opens_with_the_header(
    codec: Codec, chat: Conversation, length: int
) -> None:
    encoded = codec.encode(chat)
    header = message_starts(encoded)[0]
    ends = [message_starts(encoded)[0], *exchange_ends(encoded)]
    longest = max(after - before for before, after in pairwise(ends))
    fitted = fit(encoded, length, "split")
    assert all(example.ids[:header] == encoded.ids[:header] for example in fitted.examples)
    if header + longest <= length and len(encoded.ids) > length:
        learnt = [pair for example in fitted.examples for pair in supervised(example)]
        assert learnt == supervised(encoded)
        kept = sum(len(example.ids) - header for example in fitted.examples) + header
        assert kept + fitted.lost == len(encoded.ids)


def test_turns_keeps_the_exchanges_that_fit_whole(codec: Codec, talk: Talk) -> None:
    record = talk("Hi", "Hello there", "And then", "a word " * 30, condition="GPT4")
    encoded = codec.encode(record.conversation)
    first = exchange_ends(encoded)[0]
    (kept,) = fit(encoded, len(encoded.ids) - 1, "turns").examples
    assert kept.ids == encoded.ids[:first]
    (cut_short,) = fit(encoded, first - 1, "turns").examples
    assert cut_short.ids == encoded.ids[: first - 1]


def test_cut_trim_ends_with_a_token_that_counts(codec: Codec, talk: Talk) -> None:
    record = talk("Hi", "Hello", "a long question " * 20, "never reached", condition="GPT4")
    encoded = codec.encode(record.conversation)
    (kept,) = fit(encoded, 60, "cut-trim").examples
    assert kept.weights()[-1] > 0
    assert kept.ids == encoded.ids[: len(kept.ids)]
    nothing = Encoded(ids=[1, 2], spans=())
    assert fit(nothing, 60, "cut-trim").examples == ()
    assert trim(Encoded(ids=[1, 2], spans=(Span(start=0, end=1, weight=1.0),))).ids == [1]


@given(chat=CHATS, length=st.integers(30, 150))
def test_splitting_records_agrees_with_splitting_tokens(
    codec: Codec, chat: Conversation, length: int
) -> None:
    whole = chat if len(chat.messages) % 2 == 0 else replace(chat, messages=chat.messages[:-1])
    record = Record.create(whole, source="x")
    parts = split_record(record, codec, length)
    assert [m for part in parts for m in part.conversation.messages] == list(whole.messages)
    assert len({part.id for part in parts}) == len(parts)
    assert parts[0].id == record.id
    assert all(part.conversation.messages[0].role == "user" for part in parts)
    assert all(part.conversation.system == whole.system for part in parts)
    encoded = codec.encode(whole)
    sizes = [codec.count(part.conversation) for part in parts]
    tokens = fit(encoded, length, "split").examples
    if max(sizes) <= length:
        assert [len(example.ids) for example in tokens] == sizes


def test_a_document_and_a_short_conversation_stay_whole(codec: Codec, talk: Talk) -> None:
    for record in (Record.create_document("word " * 500), talk("Hi", "Hello")):
        assert split_record(record, codec, 50) == [record]


@pytest.mark.parametrize("roles", [("user", "user", "assistant"), ("assistant", "user")])
def test_odd_orders_of_roles_are_never_torn_from_their_question(
    roles: tuple[str, ...], codec: Codec
) -> None:
    messages = tuple(Message(role=role, content="word " * 10) for role in roles * 3)
    record = Record.create(Conversation(messages=messages, condition="GPT4"))
    parts = split_record(record, codec, 60)
    assert [m for part in parts for m in part.conversation.messages] == list(messages)
    for part in parts[1:]:
        assert part.conversation.messages[0].role == "user"
