"""Repairs a conversation: HTML, line ends, empty turns, the order of roles; or says why it cannot.

Touches nothing within a line but HTML, so code keeps its indentation. Languages and duplicates are
not looked at here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby

from ochat_templates import Conversation, Message

from .errors import InputError
from .markdown import HTML_MODES, html_to_markdown, is_chat_html
from .refusals import is_refusal

REFUSAL_RULES = ("keep", "unlearn", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanOptions:
    """What is done beyond the repair of roles and line ends.

    Attributes:
        html: Which messages are taken for a page's HTML: `auto`, `answers`, `all` or `never`.
        refusals: `keep`; `unlearn` gives answers that refuse the weight 0; `drop` leaves the
            conversation out.
        blocked_words: A conversation with an answer that holds one of them is left out; words are
            compared as whole words and without regard to case.
        min_characters: A conversation with fewer characters than this is left out.
    """

    html: str = "auto"
    refusals: str = "keep"
    blocked_words: tuple[str, ...] = ()
    min_characters: int = 0

    def __post_init__(self) -> None:
        """Refuses values that nobody knows."""
        for name, value, known in (
            ("html", self.html, HTML_MODES),
            ("refusals", self.refusals, REFUSAL_RULES),
        ):
            if value not in known:
                raise InputError(f"no {name} rule {value!r}; choose one of {', '.join(known)}")
        if "" in self.blocked_words:
            raise InputError("a blocked word is empty, which every answer holds; remove it")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanResult:
    """What became of a conversation.

    Attributes:
        conversation: The repaired conversation; None where nothing was left.
        reason: Why nothing was left; empty otherwise.
        repairs: How often each repair was made.
    """

    conversation: Conversation | None
    reason: str
    repairs: Counter[str]


def clean_conversation(
    conversation: Conversation, options: CleanOptions | None = None
) -> CleanResult:
    r"""Repairs a conversation so that user and assistant alternate, user first, assistant last.

    In this order: HTML of a page becomes Markdown; line ends become `\n`; messages in a row by the
    same role become one, blank ones among them vanish; answers before the first question are
    removed; at a turn that is blank or holds nothing printable the conversation ends; a last
    question without answer is removed;
    then blocked words, refusals and length decide whether the rest is kept.
    """
    options = options or CleanOptions()
    repairs: Counter[str] = Counter()
    messages = [_with_markdown(message, options.html, repairs) for message in conversation.messages]
    messages = [_with_plain_line_ends(message, repairs) for message in messages]
    turns = _merge_turns(messages, repairs)
    if turns and turns[0].role == "assistant":
        repairs["leading answer removed"] += 1
        turns = turns[1:]
    kept: list[Message] = []
    reason = ""
    for turn in turns:
        if is_blank(turn.content):
            reason = "empty answer" if turn.role == "assistant" else "empty question"
            repairs[f"ended at an {reason}"] += 1
            break
        kept.append(turn)
    if kept and kept[-1].role == "user":
        repairs["unanswered question removed"] += 1
        kept.pop()
    if not kept:
        return CleanResult(
            conversation=None, reason=reason or "no answered question", repairs=Counter()
        )
    unwanted = _unwanted(kept, options)
    if unwanted:
        return CleanResult(conversation=None, reason=unwanted, repairs=Counter())
    if options.refusals == "unlearn":
        kept = [_without_refusal(message, repairs) for message in kept]
    system = plain_line_ends(conversation.system)
    cleaned = replace(conversation, messages=tuple(kept), system=system)
    return CleanResult(conversation=cleaned, reason="", repairs=repairs)


def _with_markdown(message: Message, mode: str, repairs: Counter[str]) -> Message:
    if not is_chat_html(message.content, message.role, mode):
        return message
    repairs["HTML to Markdown"] += 1
    return replace(message, content=html_to_markdown(message.content))


def _unwanted(messages: Sequence[Message], options: CleanOptions) -> str:
    """Why a conversation is left out, or nothing."""
    if sum(len(message.content) for message in messages) < options.min_characters:
        return "too few characters"
    answers = [message.content for message in messages if message.role == "assistant"]
    if options.blocked_words:
        blocked = _any_word(options.blocked_words)
        if any(blocked.search(answer) for answer in answers):
            return "blocked word"
    if options.refusals == "drop" and any(is_refusal(answer) for answer in answers):
        return "refusal"
    return ""


@cache
def _any_word(words: tuple[str, ...]) -> re.Pattern[str]:
    listed = "|".join(re.escape(word) for word in words)
    return re.compile(rf"(?<!\w)(?:{listed})(?!\w)", re.IGNORECASE)


def _without_refusal(message: Message, repairs: Counter[str]) -> Message:
    if message.role != "assistant" or message.weight == 0 or not is_refusal(message.content):
        return message
    repairs["refusal not to be learnt"] += 1
    return replace(message, weight=0.0)


def is_blank(text: str) -> bool:
    """Whether no character of the text would be seen: spaces, control and format characters."""
    return not any(char.isprintable() and not char.isspace() for char in text)


def plain_line_ends(text: str) -> str:
    r"""Every line end as `\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _with_plain_line_ends(message: Message, repairs: Counter[str]) -> Message:
    if "\r" not in message.content:
        return message
    repairs["line ends"] += 1
    return replace(message, content=plain_line_ends(message.content))


def _merge_turns(messages: list[Message], repairs: Counter[str]) -> list[Message]:
    """One message a turn; of answers that count differently only those like the first are kept.

    A question is kept whole. If its parts count differently, the whole counts as the least of
    them, so that nothing is learnt which its source did not mean to be.
    """
    turns: list[Message] = []
    for _, run in groupby(messages, key=lambda message: message.role):
        group = list(run)
        if len(group) == 1:
            turns.append(group[0])
            continue
        repairs["same role twice"] += 1
        seen = [message for message in group if not is_blank(message.content)] or group[:1]
        first = seen[0]
        if first.role == "assistant":
            alike = [message for message in seen if message.loss_weight == first.loss_weight]
            if len(alike) < len(seen):
                repairs["answer of another weight removed"] += 1
        else:
            alike = seen
            first = min(seen, key=lambda message: message.loss_weight)
        content = "\n\n".join(message.content for message in alike)
        turns.append(replace(first, content=content))
    return turns
