"""A folder's own chat template: is the string wrong, and how, or only its tokens?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ochat_templates.codec import Codec
from ochat_templates.conversation import Conversation

from .comparing import DOUBLE_BOS, Comparison, causes_of
from .rendering import joint, render_prompt, render_unspaced
from .report import both_sides, shown

REFUSES = "chat template refuses"
TRIMS = "chat template trims contents"
UNSPACED = "chat template joins prefix and content without the space"
OTHER = "chat template renders another format"
INEXPRESSIBLE = "chat template cannot express it"


class ChatTokenizer(Protocol):
    """What is used of a Transformers tokenizer."""

    chat_template: str | None

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: bool) -> Any:  # noqa: ANN401
        """Renders a conversation and, on request, tokenizes it."""
        ...


def check_chat_template(
    codec: Codec, tokenizer: ChatTokenizer, chats: Sequence[Conversation], comparison: Comparison
) -> None:
    """Renders conversations of the default condition as Transformers does, and tokenizes them.

    Args:
        codec: The reference.
        tokenizer: What `AutoTokenizer` made of the folder.
        chats: Conversations that end in a question.
        comparison: Where the findings go.
    """
    if not tokenizer.chat_template:
        return
    usual = [chat for chat in chats if chat.condition == codec.template.condition.default]
    seen: list[str] = []
    possible: list[list[str]] = []
    for chat in usual:
        rows = [{"role": m.role, "content": m.content} for m in chat.messages]
        if chat.system:
            rows.insert(0, {"role": "system", "content": chat.system})
        try:
            options = {"add_generation_prompt": True, "return_dict": False}
            ids = list(tokenizer.apply_chat_template(rows, tokenize=True, **options))
            text = tokenizer.apply_chat_template(rows, tokenize=False, **options)
        except Exception as error:  # a template raises what it likes; which one is the finding
            seen.append(f"{shown(rows[-1]['content'])}: {error}")
            possible.append([REFUSES])
            continue
        expected = codec.prompt(chat)
        if ids != expected:
            seen.append(f"{shown(text)} gives {both_sides(ids, expected)}")
            possible.append(list(_explanations(codec, chat, text, ids, expected)))
    # Some conversations have two explanations; the one that explains most of them is taken.
    weight = Counter(cause for causes in possible for cause in causes)
    found = [
        ([max(causes, key=weight.__getitem__)], example)
        for example, causes in zip(seen, possible, strict=True)
    ]
    comparison.record("conversations through the folder's chat template", len(usual), found)


def _explanations(
    codec: Codec, chat: Conversation, text: str, ids: Sequence[int], expected: Sequence[int]
) -> Iterator[str]:
    """Every cause by which a template may have come to this string and these ids; at least one."""
    proper = render_prompt(codec, chat)
    if proper is None:
        yield INEXPRESSIBLE
        return
    if ids[:2] == [codec.bos_id] * 2:
        yield DOUBLE_BOS
        return
    if text == proper:
        yield from causes_of(codec, ids, expected)
        return
    stripped = tuple(replace(m, content=m.content.strip()) for m in chat.messages)
    trimmed = replace(chat, messages=stripped, system=chat.system.strip())
    is_trimmed = text == render_prompt(codec, trimmed)
    is_unspaced = bool(joint(codec)) and text == render_unspaced(codec, chat)
    if is_trimmed:
        yield TRIMS
    if is_unspaced:
        yield UNSPACED
    if not (is_trimmed or is_unspaced):
        yield OTHER
