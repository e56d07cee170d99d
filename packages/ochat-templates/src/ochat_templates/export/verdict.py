"""Verdict: does the rendered string give the ids of the codec, measured on conversations?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from ochat_templates.codec import Codec
from ochat_templates.conversation import Conversation
from ochat_templates.goldens import golden_cases
from ochat_templates.sampling import sample_conversations

from .joints import crossing_conversations
from .rendering import RenderingRefusedError

# Conversations without and with spelt control tokens.
CASES, FORGED_CASES = 400, 40
_SHOWN = 60
_OTHER_MASK = "other tokens are marked as generated"
Kind = Literal["EXACT", "EXACT EXCEPT", "NOT REPRESENTABLE"]
# Conversation and whether it is the prompt -> ids, and the mask where the training form has one.
Encode = Callable[[Conversation, bool], tuple[list[int], list[bool] | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptedClass:
    """A narrow class of conversations that the string cannot carry, or that it refuses."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the comparison has shown.

    Attributes:
        kind: `EXACT`: every conversation gave the codec's ids; `EXACT EXCEPT`: all but those of
            narrow classes; `NOT REPRESENTABLE`: ordinary conversations differ.
        checked: How many forms were compared, prompts and training forms.
        exceptions: The classes, with counts and an example.
        difference: An ordinary conversation that differs; empty if none does.
    """

    kind: Kind
    checked: int
    exceptions: tuple[ExceptedClass, ...] = ()
    difference: str = ""

    def __str__(self) -> str:
        """One line for people."""
        if self.kind == "NOT REPRESENTABLE":
            return f"NOT REPRESENTABLE: {self.difference} ({self.checked} compared)"
        told = "; ".join(f"{e.reason} ({e.count}, such as {e.example})" for e in self.exceptions)
        return f"{self.kind}{f' {told}' if told else ''} ({self.checked} compared)"


def judge(
    codec: Codec, encode: Encode, *, trains: bool, joint: str, spellings: frozenset[str]
) -> Verdict:
    """Compares golden and seeded conversations, prompts and training forms.

    Args:
        codec: The reference.
        encode: Renders and tokenizes; raises `RenderingRefusedError`.
        trains: Whether `encode` gives a mask for the training form.
        joint: What stands between two texts in the string.
        spellings: Every string that the tokenizer would turn into a special token.
    """
    found: dict[str, ExceptedClass] = {}
    difference, checked = "", 0
    for conversation in _conversations(codec, joint):
        asked = replace(conversation, messages=conversation.messages[:-1])
        for form, prompt in ((conversation, False), (asked, True)):
            if prompt and trains:
                continue
            checked += 1
            problem = _problem(codec, encode, form, prompt=prompt)
            if not problem:
                continue
            narrow = _narrow_class(codec, form, problem, spellings)
            if narrow is None:
                contents = (form.system, *(message.content for message in form.messages))
                difference = difference or f"{_shown(*contents)}: {problem}"
                continue
            reason, content = narrow
            known = found.get(reason)
            found[reason] = ExceptedClass(
                reason=reason,
                count=known.count + 1 if known else 1,
                example=known.example if known else _shown(content),
            )
    if difference:
        return Verdict(kind="NOT REPRESENTABLE", checked=checked, difference=difference)
    kind: Kind = "EXACT EXCEPT" if found else "EXACT"
    return Verdict(kind=kind, checked=checked, exceptions=tuple(found.values()))


def _conversations(codec: Codec, joint: str) -> Iterator[Conversation]:
    for case in golden_cases():
        if case.template == codec.template.name and case.ids:
            yield _plain(case.conversation)
    yield from crossing_conversations(codec, joint)
    plain = sample_conversations(codec.template, seed=0, special_strings=False)
    yield from islice(plain, CASES)
    yield from islice(sample_conversations(codec.template, seed=1), FORGED_CASES)


def _plain(conversation: Conversation) -> Conversation:
    """Without weights of single messages, which no mask can carry."""
    messages = tuple(replace(message, weight=None) for message in conversation.messages)
    return replace(conversation, messages=messages)


def _problem(codec: Codec, encode: Encode, conversation: Conversation, *, prompt: bool) -> str:
    """What is wrong with the string's ids; empty if nothing."""
    try:
        ids, mask = encode(conversation, prompt)
    except RenderingRefusedError as error:
        return f"refused: {error}"
    if prompt:
        expected = codec.prompt(conversation)
        trained = None
    else:
        encoded = codec.encode(conversation)
        expected, trained = encoded.ids, [weight > 0 for weight in encoded.weights()]
    if ids != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b),
            min(len(ids), len(expected)),
        )
        return f"from token {at} on {ids[at : at + 4]} instead of {expected[at : at + 4]}"
    if None not in (mask, trained) and mask != trained:
        return _OTHER_MASK
    return ""


def _narrow_class(
    codec: Codec, conversation: Conversation, problem: str, spellings: frozenset[str]
) -> tuple[str, str] | None:
    """The narrow class that explains a problem, with the content in it; None for ordinary ones."""
    contents = [conversation.system, *(message.content for message in conversation.messages)]
    for content in contents:
        if any(token in content for token in spellings):
            reason = "contents that spell a control token are refused"
            return (reason, content) if problem.startswith("refused") else None
    for content in contents:
        if not codec.template.strip_leading_space and content[:1].isspace():
            return "contents that start with white space after a prefix that ends in it", content
    for message in conversation.messages:
        if problem == _OTHER_MASK and not message.content.isascii():
            reason = "answers that Transformers' mask cuts inside a character of several tokens"
            return reason, message.content
    return None


def _shown(*contents: str) -> str:
    text = " | ".join(content for content in contents if content)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
