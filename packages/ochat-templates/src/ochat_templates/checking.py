"""Checks that a codec keeps the promises of this package, on seeded conversations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from .codec import Codec
from .conversation import Conversation, Message
from .families import recognise
from .goldens import golden_cases
from .sampling import sample_conversations


def check_codec(codec: Codec, *, seed: int = 0, cases: int = 200) -> None:
    """Holds a codec against every promise: for tests of programs that make their own.

    The ids of a prompt are a prefix of the training ids; the weights cover exactly each answer
    and its end of turn; no text becomes a control id; a prompt continued is the prompt of the
    whole; `decode` inverts `encode_text`; and the golden cases hold where the vocabulary is one
    of those that are known.

    Args:
        codec: What to check.
        seed: The same seed gives the same conversations.
        cases: How many conversations.

    Raises:
        AssertionError: A promise is broken; the text shows the conversation.
    """
    for problem in broken_promises(codec, seed=seed, cases=cases):
        raise AssertionError(problem)


def broken_promises(codec: Codec, *, seed: int, cases: int) -> Iterator[str]:
    """Says of each conversation that breaks a promise which one it is."""
    for conversation in islice(sample_conversations(codec.template, seed), cases):
        for problem in _problems(codec, conversation):
            yield f"{problem}: {conversation!r}"
    yield from broken_goldens(codec)


def broken_goldens(codec: Codec) -> Iterator[str]:
    """Says which golden cases of the codec's template and vocabulary do not hold."""
    family = recognise(codec.token_bytes)
    for case in golden_cases():
        if family is None or (case.template, case.family) != (codec.template.name, family.name):
            continue
        prompt, encoded = codec.prompt(case.asked), codec.encode(case.conversation)
        if case.prompt and prompt != list(case.prompt):
            yield f"golden case {case.title!r}: the prompt is {prompt}, not {list(case.prompt)}"
        elif case.ids and encoded.ids != list(case.ids):
            yield f"golden case {case.title!r}: the ids are {encoded.ids}, not {list(case.ids)}"
        elif case.ids and encoded.weights() != list(case.weights):
            yield f"golden case {case.title!r}: the weights are {encoded.weights()}"


def _problems(codec: Codec, conversation: Conversation) -> Iterator[str]:
    encoded = codec.encode(conversation)
    forbidden = frozenset(codec.control_ids.values())
    expected = [0.0] * len(encoded.ids)
    for segment in encoded.segments:
        ids = encoded.ids[segment.start : segment.end]
        if segment.message is not None and segment.kind in ("content", "eot"):
            weight = conversation.messages[segment.message].weight
            role = conversation.messages[segment.message].role
            weight = codec.template.default_weight(role) if weight is None else weight
            expected[segment.start : segment.end] = [weight] * len(ids)
        if segment.kind in ("content", "system") and not forbidden.isdisjoint(ids):
            yield "text became a control id"
    if encoded.weights() != expected:
        yield "the weights do not cover exactly each answer and its end of turn"
    for index in range(1, len(conversation.messages), 2):
        asked = replace(conversation, messages=conversation.messages[:index])
        prompt = codec.prompt(asked)
        if encoded.ids[: len(prompt)] != prompt:
            yield "the prompt is no prefix of the training ids"
    for message in conversation.messages:
        if not _comes_back(codec, message.content):
            yield f"{message.content!r} does not come back from its ids"
    if not _continues(codec, conversation):
        yield "a continued prompt is not the prompt of the whole"


def _comes_back(codec: Codec, text: str) -> bool:
    """Whether text survives; SentencePiece gives U+2581 back as the space that it stands for."""
    decoded = codec.decode(codec.encode_text(text))
    return decoded in (text, text.replace("\u2581", " "))


def _continues(codec: Codec, conversation: Conversation) -> bool:
    *history, answer = conversation.messages
    ids = codec.prompt(replace(conversation, messages=tuple(history)))
    ids += codec.encode_text(answer.content)
    question = Message(role="user", content="And then?")
    ids += codec.continue_from(ids, [question], conversation.condition)
    return ids == codec.prompt(replace(conversation, messages=(*conversation.messages, question)))
