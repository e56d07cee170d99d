"""Repairs a conversation: line ends, empty turns, the order of roles; or says why it cannot be.

Touches nothing within a line, so code keeps its indentation. Languages, HTML and duplicates are
not looked at here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby

from ochat_templates import Conversation, Message


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


def clean_conversation(conversation: Conversation) -> CleanResult:
    r"""Repairs a conversation so that user and assistant alternate, user first, assistant last.

    In this order: line ends become `\n`; messages in a row by the same role become one, blank
    ones among them vanish; answers before the first question are removed; at a turn that is blank
    or holds nothing printable the conversation ends; a last question without answer is removed.
    """
    repairs: Counter[str] = Counter()
    messages = [_with_plain_line_ends(message, repairs) for message in conversation.messages]
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
    system = _plain_line_ends(conversation.system)
    cleaned = replace(conversation, messages=tuple(kept), system=system)
    return CleanResult(conversation=cleaned, reason="", repairs=repairs)


def is_blank(text: str) -> bool:
    """Whether no character of the text would be seen: spaces, control and format characters."""
    return not any(char.isprintable() and not char.isspace() for char in text)


def _plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _with_plain_line_ends(message: Message, repairs: Counter[str]) -> Message:
    if "\r" not in message.content:
        return message
    repairs["line ends"] += 1
    return replace(message, content=_plain_line_ends(message.content))


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
