"""Conversation and Message: what was said, by whom, and how much each message counts in training.

Knows nothing of templates or tokens: whether a condition is allowed is the template's business.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import ConversationError, RoleError

ROLES = ("user", "assistant", "system")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: `user` or `assistant`; `system` text belongs to `Conversation.system`.
        content: The text exactly as it was written; never trimmed or normalised.
        weight: Loss weight of every token of the message and of its end of turn. None means
            1.0 for an assistant message and 0.0 for any other.
    """

    role: str
    content: str
    weight: float | None = None

    def __post_init__(self) -> None:
        """Refuses a role nobody knows and content that no tokenizer could encode."""
        if self.role not in ROLES:
            raise RoleError(f"unknown role {self.role!r}; expected one of {', '.join(ROLES)}")
        require_encodable(self.content, f"the {self.role} message")
        if self.weight is not None and not _is_loss_weight(self.weight):
            raise ConversationError(
                f"a loss weight must be 0 or a positive float32, not {self.weight!r}"
            )

    @property
    def loss_weight(self) -> float:
        """The weight that training uses when none was given."""
        if self.weight is not None:
            return self.weight
        return 1.0 if self.role == "assistant" else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages with an optional system text and an optional condition.

    Attributes:
        messages: The turns, oldest first, roles `user` and `assistant`.
        system: System text; an empty string means none.
        condition: Where the answers come from (`GPT4`, `GPT3`, ...); an empty string means the
            template's default.
    """

    messages: tuple[Message, ...]
    system: str = ""
    condition: str = ""

    def __post_init__(self) -> None:
        """Refuses system messages among the turns and text that cannot be encoded."""
        require_encodable(self.system, "the system text")
        require_encodable(self.condition, "the condition")
        if any(message.role == "system" for message in self.messages):
            raise RoleError(
                "a system message may stand only first; give its text as Conversation.system"
            )

    @classmethod
    def from_json(cls, value: object) -> Conversation:
        """Reads `{"items": [...]}` (OpenChat) or `{"messages": [...]}` (OpenAI).

        A leading system message becomes `system`. Other keys of the object are ignored.

        Raises:
            ConversationError: A field is missing or of the wrong type; the text names it.
            RoleError: A role is unknown, or a system message is not the first one.
        """
        record = _mapping(value, "a conversation")
        key = "items" if "items" in record else "messages"
        rows = record.get(key)
        if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
            raise ConversationError(
                f"expected a list under 'items' or 'messages', got {_kind(rows)}"
            )
        system = _text(record, "system", "the conversation")
        if rows and isinstance(rows[0], Mapping) and rows[0].get("role") == "system":
            if system:
                raise ConversationError(
                    "the system text is given twice: as 'system' and as the first message"
                )
            system, rows = _text(rows[0], "content", f"{key}[0]"), rows[1:]
        messages = tuple(_message(row, f"{key}[{index}]") for index, row in enumerate(rows))
        condition = _text(record, "condition", "the conversation")
        return cls(messages=messages, system=system, condition=condition)

    def to_json(self) -> dict[str, object]:
        """Writes the OpenChat form; absent fields are left out."""
        items: list[dict[str, object]] = []
        for message in self.messages:
            item: dict[str, object] = {"role": message.role, "content": message.content}
            if message.weight is not None:
                item["weight"] = message.weight
            items.append(item)
        record: dict[str, object] = {"items": items}
        if self.system:
            record["system"] = self.system
        if self.condition:
            record["condition"] = self.condition
        return record


def require_encodable(text: str, what: str) -> None:
    """Refuses lone surrogates, the only text that UTF-8 cannot carry, with their position."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConversationError(
            f"{what} has a lone surrogate at character {error.start}; "
            "replace it (U+FFFD) before encoding"
        ) from error


def _is_loss_weight(weight: float) -> bool:
    """Whether training, which keeps weights as float32, sees the same weight or a near one."""
    if not (math.isfinite(weight) and weight >= 0):
        return False
    try:
        [kept] = struct.unpack("<f", struct.pack("<f", weight))
    except OverflowError:
        return False
    return kept > 0 or weight == 0


def _message(value: object, where: str) -> Message:
    row = _mapping(value, where)
    role, weight = row.get("role"), row.get("weight")
    if not isinstance(role, str):
        raise RoleError(f"{where}: expected a string under 'role', got {_kind(role)}")
    if not isinstance(row.get("content"), str):
        raise ConversationError(
            f"{where}: expected a string under 'content', got {_kind(row.get('content'))}"
        )
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float)):
        raise ConversationError(f"{where}: expected a number under 'weight', got {_kind(weight)}")
    try:
        return Message(
            role=role,
            content=_text(row, "content", where),
            weight=None if weight is None else float(weight),
        )
    except ConversationError as error:
        raise type(error)(f"{where}: {error}") from error
    except OverflowError as error:
        raise ConversationError(f"{where}: 'weight' is too large a number") from error


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConversationError(f"expected {what} to be a JSON object, got {_kind(value)}")
    return value


def _text(record: Mapping[str, object], key: str, where: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ConversationError(f"{where}: expected a string under {key!r}, got {_kind(value)}")
    return value


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
