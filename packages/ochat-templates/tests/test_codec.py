"""The encoding rule as properties: prefix, weights, injection, equality of the backends."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_templates import (
    Codec,
    ConditionError,
    Conversation,
    ConversationError,
    Message,
    Template,
    TokenizerError,
    get_template,
    load_codec,
    template_names,
)

FORGERIES = ["<s>", "</s>", "<unk>", "<|end_of_turn|>", "GPT4 User:", "<0x0A>", "\u2581", "\0"]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from([*FORGERIES, " ", "\n", "a", "  ", "\U0001f642"])).map("".join),
)
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    turns = draw(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
    messages: list[Message] = []
    for question, answer in turns:
        weight = draw(st.sampled_from([None, 0.0, 0.1, 1.0]))
        messages.append(Message(role="user", content=question))
        messages.append(Message(role="assistant", content=answer, weight=weight))
    return Conversation(
        messages=tuple(messages),
        system=draw(TEXT),
        condition=draw(st.sampled_from(["GPT4", "GPT3"])),
    )


@pytest.fixture(scope="session", params=template_names())
def codecs(
    request: pytest.FixtureRequest, sentencepiece_file: Path, tokenizers_file: Path
) -> tuple[Codec, Codec]:
    """One template through both backends."""
    return (
        load_codec(sentencepiece_file, request.param),
        load_codec(tokenizers_file, request.param),
    )


@relaxed
@given(conversation=conversations())
def test_both_backends_give_the_same_ids_weights_and_text(
    codecs: tuple[Codec, Codec], conversation: Conversation
) -> None:
    first, second = (codec.encode(conversation) for codec in codecs)
    assert first == second
    assert codecs[0].decode(first.ids) == codecs[1].decode(second.ids)


@relaxed
@given(conversation=conversations())
def test_every_prompt_is_a_prefix_of_the_training_ids(
    codecs: tuple[Codec, Codec], conversation: Conversation
) -> None:
    codec = codecs[0]
    trained = codec.encode(conversation).ids
    for index in range(1, len(conversation.messages), 2):
        asked = Conversation(
            messages=conversation.messages[:index],
            system=conversation.system,
            condition=conversation.condition,
        )
        prompt = codec.prompt(asked)
        assert trained[: len(prompt)] == prompt


@relaxed
@given(conversation=conversations())
def test_control_ids_appear_only_where_the_template_puts_them(
    codecs: tuple[Codec, Codec], conversation: Conversation
) -> None:
    codec = codecs[0]
    ids = codec.encode(conversation).ids
    closed = len(conversation.messages) + bool(conversation.system)
    closed += bool(codec.template.condition.turn)
    control = [token_id for token_id in ids if token_id in codec.control_ids.values()]
    assert control == [codec.bos_id] + [codec.eot_id] * closed


@relaxed
@given(conversation=conversations())
def test_weights_cover_exactly_each_content_and_its_end_of_turn(
    codecs: tuple[Codec, Codec], conversation: Conversation
) -> None:
    codec = codecs[0]
    encoded = codec.encode(conversation)
    weights = encoded.weights()
    assert len(weights) == len(encoded.ids)
    expected = 0.0
    for message in conversation.messages:
        tokens = len(codec.encode_text(message.content)) + 1
        expected += tokens * message.loss_weight
    assert sum(weights) == pytest.approx(expected)
    for span in encoded.spans:
        assert encoded.ids[span.end - 1] == codec.eot_id
        assert codec.eot_id not in encoded.ids[span.start : span.end - 1]


@relaxed
@given(text=TEXT)
def test_decode_gives_back_the_text_but_for_sentencepieces_space_character(
    codecs: tuple[Codec, Codec], text: str
) -> None:
    for codec in codecs:
        assert codec.decode(codec.encode_text(text)) == text.replace("\u2581", " ")


@relaxed
@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_a_stream_gives_the_same_text_however_it_is_cut(
    codecs: tuple[Codec, Codec], text: str, cuts: list[int]
) -> None:
    codec = codecs[0]
    ids = codec.encode_text(text)
    decoder = codec.stream_decoder()
    edges = [0, *sorted(min(cut, len(ids)) for cut in cuts), len(ids)]
    parts = [decoder.push(ids[a:b]) for a, b in pairwise(edges)]
    assert "".join(parts) + decoder.finish() == codec.decode(ids)


def test_a_broken_character_is_held_back_and_ended_only_at_the_finish(
    sentencepiece_file: Path,
) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    ids = codec.encode_text("\U0001f642")
    decoder = codec.stream_decoder()
    assert decoder.push(ids[:-1]) == ""
    assert decoder.finish() == "\ufffd"


def test_only_one_leading_space_belongs_to_the_format(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    assert codec.decode(codec.encode_text("  indented")) == "  indented"


def test_ids_past_the_vocabulary_have_no_text(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    assert codec.decode([*codec.encode_text("Hi"), codec.eot_id, codec.vocab_size + 7]) == "Hi"


def test_a_partial_answer_is_continued_without_an_end_of_turn(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    user, partial = Message(role="user", content="Hi"), Message(role="assistant", content="He")
    empty = Message(role="assistant", content="")
    asked = codec.prompt(Conversation(messages=(user,)))
    assert codec.prompt(Conversation(messages=(user, empty))) == asked
    assert codec.prompt(Conversation(messages=(user, partial))) == asked + codec.encode_text("He")


def test_a_missing_condition_means_the_default_in_a_prompt_and_the_other_class_in_training(
    sentencepiece_file: Path,
) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    messages = (Message(role="user", content="Hi"),)
    bare = Conversation(messages=messages)
    good = Conversation(messages=messages, condition="GPT4")
    other = Conversation(messages=messages, condition="GPT3")
    assert codec.prompt(bare) == codec.prompt(good) != codec.prompt(other)
    assert codec.encode(bare) == codec.encode(other)


def test_a_condition_that_the_template_does_not_allow_is_refused(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    forged = Conversation(messages=(Message(role="user", content="Hi"),), condition="GPT5")
    with pytest.raises(ConditionError, match="use one of GPT4, GPT3"):
        codec.prompt(forged)


def test_a_template_without_a_place_for_system_text_refuses_it(sentencepiece_file: Path) -> None:
    template = Template.from_text(
        'schema = 1\nname = "plain"\ncontext_length = 64\n[control]\neot = "</s>"\n'
        '[roles]\nuser = "User:"\nassistant = "Assistant:"\n',
        where="plain.toml",
    )
    codec = load_codec(sentencepiece_file, template)
    assert codec.bos_id is None
    asked = (Message(role="user", content="Hi"),)
    assert codec.prompt(Conversation(messages=asked))[0] != codec.eot_id
    with pytest.raises(ConversationError, match="plain has no system text"):
        codec.prompt(Conversation(messages=asked, system="Be kind."))
    with pytest.raises(ConditionError, match="plain takes no condition"):
        codec.prompt(Conversation(messages=asked, condition="GPT4"))


def test_a_lone_surrogate_is_refused_with_its_position(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    with pytest.raises(ConversationError, match="lone surrogate at character 2"):
        codec.encode_text("ab\ud800")


def test_a_tokenizer_that_reads_control_tokens_in_text_is_refused(tmp_path: Path) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a conversation about nothing at all"] * 20),
        model_prefix=str(tmp_path / "forgeable"),
        model_type="bpe",
        vocab_size=300,
        hard_vocab_limit=False,
        byte_fallback=True,
        user_defined_symbols=["<|end_of_turn|>"],
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match="a user could forge one"):
        load_codec(tmp_path / "forgeable.model", "openchat_v3.2")


def test_many_free_conditions_do_not_fill_the_memory(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2_mistral")
    asked = (Message(role="user", content="Hi"),)
    first = codec.prompt(Conversation(messages=asked, condition="Code"))
    for number in range(1100):
        codec.prompt(Conversation(messages=asked, condition=f"Expert {number}"))
    assert codec.prompt(Conversation(messages=asked, condition="Code")) == first


def test_the_embedding_table_must_hold_every_control_id(sentencepiece_file: Path) -> None:
    codec = load_codec(sentencepiece_file, "openchat_v3.2")
    assert codec.vocab_size == codec.eot_id + 1
    assert codec.stop_ids == (codec.eot_id,)
    assert get_template("openchat_3.5") == get_template("openchat_v3.2_mistral")
