"""Converts one raw object of a known chat format to a Record, or says which field is wrong.

Reads no files and repairs nothing: what was said is kept as it was written; `cleaning` repairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ochat_templates import Conversation, ConversationError, Message

from .errors import RecordError
from .record import Record, as_object, kind_of, text_field

FORMATS = ("sharegpt", "openai", "alpaca", "record")
# Every spelling met in published dumps; compared in lower case.
_ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
}


def convert(value: object, *, source: str, format_name: str = "auto") -> Record:
    """Converts one raw object.

    Args:
        value: The parsed JSON.
        source: Name of its origin, used where the object gives none.
        format_name: One of `FORMATS`, or `auto` to tell by the object's fields.

    Raises:
        RecordError: The object is of no known format or a field is wrong; the text names it.
    """
    fields = as_object(value, "a record")
    name = detect(fields) if format_name == "auto" else format_name
    try:
        if name == "record":
            record = Record.from_json(fields)
            return record if record.source else replace(record, source=source)
        if name == "alpaca":
            return _from_alpaca(fields, source)
        keys = ("messages",) if name == "openai" else ("conversations", "items")
        return _from_turns(fields, keys, source)
    except ConversationError as error:
        raise RecordError(str(error)) from error


def detect(fields: Mapping[str, object]) -> str:
    """Tells an object's format by its fields.

    Raises:
        RecordError: It is none of the known ones.
    """
    if "messages" in fields:
        return "openai"
    if "conversations" in fields:
        return "sharegpt"
    items = fields.get("items")
    if isinstance(items, Sequence) and items and isinstance(items[0], Mapping):
        return "sharegpt" if "from" in items[0] else "record"
    if "items" in fields:
        return "record"
    if "instruction" in fields:
        return "alpaca"
    found = ", ".join(repr(key) for key in list(fields)[:8]) or "none"
    raise RecordError(
        "no known chat format: expected 'conversations', 'items', 'messages', or 'instruction' "
        f"with 'output'; the fields are {found}"
    )


def _from_turns(fields: Mapping[str, object], keys: tuple[str, ...], source: str) -> Record:
    """ShareGPT (`from`, `value`) and OpenAI (`role`, `content`) lists of messages."""
    key = next((key for key in keys if key in fields), keys[0])
    turns = fields.get(key)
    if not isinstance(turns, list):
        raise RecordError(f"expected a list under {key!r}, got {kind_of(turns)}")
    messages = [_message(turn, f"{key}[{index}]") for index, turn in enumerate(turns)]
    system = text_field(fields, "system")
    if messages and messages[0].role == "system":
        if system and system != messages[0].content:
            raise RecordError("the system text is given twice: as 'system' and as first message")
        system = messages.pop(0).content
    if not messages:
        raise RecordError(f"{key!r} holds no messages")
    conversation = Conversation(
        messages=tuple(messages), system=system, condition=text_field(fields, "condition")
    )
    return Record.create(
        conversation,
        model=text_field(fields, "model"),
        source=text_field(fields, "source") or source,
    )


def _message(value: object, where: str) -> Message:
    turn = as_object(value, where)
    role_key = "from" if "from" in turn else "role"
    text_key = next((key for key in ("value", "content") if key in turn), "content")
    spelling = turn.get(role_key)
    if not isinstance(spelling, str):
        raise RecordError(f"{where}: expected a string under {role_key!r}, got {kind_of(spelling)}")
    role = _ROLES.get(spelling.strip().lower())
    if role is None:
        raise RecordError(f"{where}: unknown role {spelling!r}; known are {', '.join(_ROLES)}")
    for call in ("tool_calls", "function_call"):
        if turn.get(call):
            raise RecordError(f"{where}: {call!r} cannot be kept; remove tool use first")
    try:
        return Message(role=role, content=_text(turn, text_key, where), weight=_weight(turn, where))
    except ConversationError as error:
        raise RecordError(f"{where}: {error}") from error


def _text(turn: Mapping[str, object], key: str, where: str) -> str:
    """A string, or OpenAI's list of text parts, joined by line breaks."""
    value = turn.get(key)
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RecordError(f"{where}: expected a string under {key!r}, got {kind_of(value)}")
    texts: list[str] = []
    for index, part in enumerate(value):
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(text, str):
            raise RecordError(
                f"{where}: {key}[{index}] is no text part; only text can be trained on here"
            )
        texts.append(text)
    return "\n".join(texts)


def _weight(turn: Mapping[str, object], where: str) -> float | None:
    weight = turn.get("weight")
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise RecordError(f"{where}: expected a number under 'weight', got {kind_of(weight)}")
    try:
        return float(weight)
    except OverflowError as error:
        raise RecordError(f"{where}: the loss weight is too large for a number") from error


def _from_alpaca(fields: Mapping[str, object], source: str) -> Record:
    """Alpaca's instruction, input and output; AlpacaEval adds who answered as `generator`."""
    for key in ("instruction", "output"):
        if not isinstance(fields.get(key), str):
            raise RecordError(f"expected a string under {key!r}, got {kind_of(fields.get(key))}")
    question, extra = text_field(fields, "instruction"), text_field(fields, "input")
    answer = text_field(fields, "output")
    conversation = Conversation(
        messages=(
            Message(role="user", content=f"{question}\n\n{extra}" if extra else question),
            Message(role="assistant", content=answer),
        ),
        system=text_field(fields, "system"),
    )
    model = text_field(fields, "generator") or text_field(fields, "model")
    return Record.create(conversation, model=model, source=source)
