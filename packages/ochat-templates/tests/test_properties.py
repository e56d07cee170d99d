"""The encoding rule as properties, for every template through every backend that fits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ochat_templates import (
    Codec,
    Conversation,
    Message,
    Template,
    convert_sentencepiece,
    get_template,
    load_codec,
    template_names,
)

FORGERIES = [
    *("<s>", "</s>", "<unk>", "<bos>", "<eos>", "<|end_of_turn|>", "<end_of_turn>", "<|eot_id|>"),
    *("<|im_start|>", "<|im_end|>", "<start_of_turn>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|begin_of_text|>", "GPT4 User:", "user\n", "<0x0A>", "\u2581", "\0", "\u2047"),
]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from([*FORGERIES, " ", "\n", "a", "  ", "\U0001f642"])).map("".join),
)
LABELS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=30)
relaxed = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def conditions(template: Template) -> st.SearchStrategy[str]:
    rule = template.condition
    if rule.allowed:
        return st.sampled_from(["", *rule.allowed])
    if not rule.default:
        return st.just("")
    free = LABELS.filter(lambda text: not any(token in text for token in template.control_tokens))
    return st.one_of(st.sampled_from(["", "GPT4 Correct", "Math Correct", "<s>"]), free).filter(
        lambda text: text not in template.control_tokens
    )


@st.composite
def conversations(draw: st.DrawFn, template: Template) -> Conversation:
    messages: list[Message] = []
    for question, answer in draw(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)):
        weight = draw(st.sampled_from([None, 0.0, 0.1, 1.0]))
        messages.append(Message(role="user", content=question))
        messages.append(Message(role="assistant", content=answer, weight=weight))
    return Conversation(
        messages=tuple(messages),
        system=draw(TEXT) if template.system_allowed else "",
        condition=draw(conditions(template)),
    )


class SlowTokenizer:
    """What Transformers' tokenizers with a SentencePiece backend look like from outside."""

    def __init__(self, file: Path, added: list[str]) -> None:
        self.sp_model = sentencepiece.SentencePieceProcessor(model_file=str(file))
        following = self.sp_model.get_piece_size()
        self._added = {token: following + index for index, token in enumerate(added)}

    def get_added_vocab(self) -> dict[str, int]:
        return self._added


def dummy_prefix_codecs(template: Template, file: Path) -> list[Codec]:
    """One SentencePiece vocabulary through every backend; the first one is the reference."""
    first = load_codec(file, template)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    added = [token for token in template.control_tokens if token not in ("<s>", "</s>")]
    return [
        first,
        Codec.from_sentencepiece(file, template),
        Codec.from_tokenizers(convert_sentencepiece(file, template.control_tokens), template),
        Codec.from_hf(SlowTokenizer(file, added), template),
        Codec.from_callable(
            processor.encode,
            template,
            control_ids=first.control_ids,
            token_bytes=first.token_bytes,
        ),
    ]


def byte_level_codecs(
    template: Template, make: Callable[[Template], Tokenizer], folder: Path
) -> list[Codec]:
    tokenizer = make(template)
    file = folder / "tokenizer.json"
    tokenizer.save(str(file))
    first = load_codec(file, template)
    plain = make(template)
    plain.encode_special_tokens = True
    return [
        first,
        Codec.from_tokenizers(tokenizer, template),
        Codec.from_callable(
            lambda text: plain.encode(text, add_special_tokens=False).ids,
            template,
            control_ids=first.control_ids,
            token_bytes=first.token_bytes,
        ),
    ]


@pytest.fixture(scope="session", params=template_names())
def codecs(
    request: pytest.FixtureRequest,
    sentencepiece_file: Path,
    byte_level_tokenizer: Callable[[Template], Tokenizer],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Codec]:
    """One template through every backend that fits its kind of vocabulary."""
    template = get_template(request.param)
    if template.strip_leading_space:
        return dummy_prefix_codecs(template, sentencepiece_file)
    folder = tmp_path_factory.mktemp("byte_level")
    return byte_level_codecs(template, byte_level_tokenizer, folder)


@relaxed
@given(data=st.data())
def test_all_backends_give_the_same_ids_weights_text_and_fingerprint(
    codecs: list[Codec], data: st.DataObject
) -> None:
    first, *others = codecs
    conversation = data.draw(conversations(first.template))
    expected = first.encode(conversation)
    for codec in others:
        encoded = codec.encode(conversation)
        assert encoded == expected
        assert encoded.segments == expected.segments
        assert codec.prompt(conversation) == first.prompt(conversation)
        assert codec.decode(encoded.ids) == first.decode(expected.ids)
        assert codec.fingerprint == first.fingerprint
        assert codec.stop_ids == first.stop_ids


@relaxed
@given(data=st.data())
def test_every_prompt_is_a_prefix_of_the_training_ids(
    codecs: list[Codec], data: st.DataObject
) -> None:
    codec = codecs[0]
    conversation = data.draw(conversations(codec.template))
    if not conversation.condition:  # training and prompts have their own defaults
        rule = codec.template.condition
        conversation = replace(conversation, condition=rule.default)
    trained = codec.encode(conversation).ids
    for index in range(1, len(conversation.messages), 2):
        prompt = codec.prompt(replace(conversation, messages=conversation.messages[:index]))
        assert trained[: len(prompt)] == prompt


@relaxed
@given(data=st.data())
def test_continuing_gives_the_prompt_of_the_whole_conversation(
    codecs: list[Codec], data: st.DataObject
) -> None:
    codec = codecs[0]
    conversation = data.draw(conversations(codec.template))
    *history, answer = conversation.messages
    ids = codec.prompt(replace(conversation, messages=tuple(history)))
    ids += codec.encode_text(answer.content)
    question = Message(role="user", content=data.draw(TEXT))
    whole = codec.prompt(replace(conversation, messages=(*conversation.messages, question)))
    before = list(ids)
    added = codec.continue_from(ids, [question], conversation.condition)
    assert ids == before
    assert ids + added == whole
    stopped = [*ids, codec.eot_id]
    assert stopped + codec.continue_from(stopped, [question], conversation.condition) == whole
    partial = Message(role="assistant", content="So")
    continued = codec.continue_from(ids, [question, partial], conversation.condition)
    assert ids + continued == whole + codec.encode_text("So")


@relaxed
@given(data=st.data())
def test_control_ids_appear_only_where_the_template_puts_them(
    codecs: list[Codec], data: st.DataObject
) -> None:
    control = frozenset(codecs[0].control_ids.values())
    conversation = data.draw(conversations(codecs[0].template))
    blank = tuple(replace(message, content="") for message in conversation.messages)
    frame = replace(conversation, messages=blank, system=conversation.system and "s")
    for codec in codecs:
        ids = codec.encode(conversation).ids
        expected = [i for i in codec.encode(frame).ids if i in control]
        assert [i for i in ids if i in control] == expected
        closed = len(blank) + bool(conversation.system) + bool(codec.template.condition.turn)
        assert ids.count(codec.eot_id) == closed


@relaxed
@given(data=st.data())
def test_weights_cover_exactly_each_content_and_its_end_of_turn(
    codecs: list[Codec], data: st.DataObject
) -> None:
    codec = codecs[0]
    conversation = data.draw(conversations(codec.template))
    encoded = codec.encode(conversation)
    expected: list[float] = []
    for segment in encoded.segments:
        weight = 0.0
        if segment.kind in ("content", "eot") and segment.message is not None:
            message = conversation.messages[segment.message]
            weight = message.loss_weight
            if segment.kind == "content":
                content = encoded.ids[segment.start : segment.end]
                assert content == codec.encode_text(message.content)
        assert segment.weight == weight
        expected += [weight] * (segment.end - segment.start)
    assert encoded.weights() == expected
    labels = encoded.labels()
    assert labels == [
        token_id if weight else -100 for token_id, weight in zip(encoded.ids, expected, strict=True)
    ]
    shifted = encoded.shifted(ignore=0)
    assert shifted.weights == [*expected[1:], 0.0]
    assert shifted.labels == [label if label != -100 else 0 for label in [*labels[1:], 0]]


@relaxed
@given(data=st.data())
def test_a_batch_is_its_conversations_one_by_one(codecs: list[Codec], data: st.DataObject) -> None:
    for codec in codecs:
        batch = data.draw(st.lists(conversations(codec.template), max_size=3))
        alone = [codec.encode(conversation) for conversation in batch]
        assert codec.encode_batch(batch) == alone
        assert codec.encode_batch(batch, threads=2) == alone
        assert [codec.count(each) for each in batch] == [len(each.ids) for each in alone]
        for each in batch:
            assert codec.count(each, prompt=True) == len(codec.prompt(each))


@relaxed
@given(text=TEXT)
def test_decode_gives_back_the_text_but_for_sentencepieces_space_character(
    codecs: list[Codec], text: str
) -> None:
    is_sentencepiece = codecs[0].template.strip_leading_space
    expected = text.replace("\u2581", " ") if is_sentencepiece else text
    for codec in codecs:
        assert codec.decode(codec.encode_text(text)) == expected


@relaxed
@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_a_stream_gives_the_same_text_however_it_is_cut(
    codecs: list[Codec], text: str, cuts: list[int]
) -> None:
    codec = codecs[0]
    ids = codec.encode_text(text)
    decoder = codec.stream_decoder()
    edges = [0, *sorted(min(cut, len(ids)) for cut in cuts), len(ids)]
    parts = [decoder.push(ids[a:b]) for a, b in pairwise(edges)]
    assert "".join(parts) + decoder.finish() == codec.decode(ids)


@pytest.mark.parametrize("name", ["openchat_v3.2", "openchat_3.6"])
def test_huge_texts_encode_like_their_parts(
    name: str,
    sentencepiece_file: Path,
    texts: list[str],
    byte_level_tokenizer: Callable[[Template], Tokenizer],
    tmp_path: Path,
) -> None:
    template = get_template(name)
    if template.strip_leading_space:
        codecs = dummy_prefix_codecs(template, sentencepiece_file)
    else:
        codecs = byte_level_codecs(template, byte_level_tokenizer, tmp_path)
    text = "\n".join(texts) * 2000 + " " * 5000 + "<|end_of_turn|>" * 500
    ids = codecs[0].encode_text(text)
    assert codecs[0].decode(ids) == text
    assert frozenset(codecs[0].control_ids.values()).isdisjoint(ids)
    assert all(codec.encode_text(text) == ids for codec in codecs[1:])
