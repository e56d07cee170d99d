"""Converts one raw item of a known chat format to records, or says which field is wrong.

Reads no files and repairs nothing: what was said is kept as it was written; `cleaning` repairs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ochat_templates import Conversation, ConversationError, Message

from .errors import RecordError
from .record import Record, as_object, kind_of, text_field, weight_field

if TYPE_CHECKING:
    from .reading import RawItem

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
# What a tool or its caller says, in the spellings of ShareGPT's and OpenAI's descendants.
_TOOL_ROLES = {
    *("tool", "function", "function_call", "function_response", "observation"),
    *("tool_call", "tool_calls", "tool_response", "tool_result", "ipython"),
}
# Who answered, by the column of the merge from which OpenChat's Orca models were trained.
_ORCA_ANSWERS = {"answer_gpt4": "gpt-4", "answer_gpt35": "gpt-3.5-turbo"}
_GPT4_FILE = re.compile(r"gpt-?_?4", re.IGNORECASE)
_GPT35_FILE = re.compile(r"gpt-?_?3[_.-]?5", re.IGNORECASE)


def convert_item(item: RawItem, *, format_name: str = "auto") -> list[Record]:
    """Converts one item of a file; errors as `convert`.

    Raises:
        RecordError: Also if the item could not be parsed.
    """
    if item.problem:
        raise RecordError(item.problem)
    if item.kind == "page":
        from .sharegpt_page import page_content

        content = page_content(str(item.value))
        return convert(content, source=item.source, format_name="sharegpt")
    if item.kind == "text":
        return convert({"text": item.value}, source=item.source, format_name="text")
    return convert(item.value, source=item.source, format_name=format_name)


def convert(value: object, *, source: str, format_name: str = "auto") -> list[Record]:
    """Converts one raw object, which may hold the answers of several models.

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
        return _CONVERTERS[name](fields, source)
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
        return "sharegpt" if "from" in items[0] else "openchat"
    if "items" in fields:
        return "openchat"
    if "question" in fields and any(column in fields for column in _ORCA_ANSWERS):
        return "orca-merge"
    for name, keys in _TELLING_FIELDS.items():
        if all(key in fields for key in keys):
            return name
    found = ", ".join(repr(key) for key in list(fields)[:8]) or "none"
    raise RecordError(
        "no known chat format: expected 'conversations', 'items', 'messages', 'instruction' with "
        "'output', 'question' with 'response', 'turns' or 'text'; name the columns with "
        f"--columns; the fields are {found}"
    )


def make_role(spelling: object, where: str) -> str:
    """The role that a spelling stands for.

    Raises:
        RecordError: It is none of the known ones.
    """
    if not isinstance(spelling, str):
        raise RecordError(f"{where}, got {kind_of(spelling)}")
    name = spelling.strip().lower()
    role = _ROLES.get(name)
    if name in _TOOL_ROLES:
        raise RecordError(f"{where}: messages of {spelling!r} cannot be kept; remove tool use")
    if role is None:
        raise RecordError(f"{where}: unknown role {spelling!r}; known are {', '.join(_ROLES)}")
    return role


def question_and_answer(
    question: str, answer: str, *, system: str = "", model: str = "", source: str = ""
) -> Record:
    """The record of a single exchange."""
    messages = (
        Message(role="user", content=question),
        Message(role="assistant", content=answer),
    )
    conversation = Conversation(messages=messages, system=system)
    return Record.create(conversation, model=model, source=source)


def required_text(fields: Mapping[str, object], key: str) -> str:
    """A text field that must be there."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise RecordError(f"expected a string under {key!r}, got {kind_of(value)}")
    return value


def _from_record(fields: Mapping[str, object], source: str) -> list[Record]:
    record = Record.from_json(fields)
    return [record if record.source else replace(record, source=source)]


def _from_sharegpt(fields: Mapping[str, object], source: str) -> list[Record]:
    return [_from_turns(fields, ("conversations", "items"), source)]


def _from_openai(fields: Mapping[str, object], source: str) -> list[Record]:
    return [_from_turns(fields, ("messages",), source)]


def _from_turns(fields: Mapping[str, object], keys: tuple[str, ...], source: str) -> Record:
    """ShareGPT (`from`, `value`) and OpenAI (`role`, `content`) lists of messages."""
    key = next((key for key in keys if key in fields), keys[0])
    turns = fields.get(key)
    if not isinstance(turns, list):
        raise RecordError(f"expected a list under {key!r}, got {kind_of(turns)}")
    messages = [_message(turn, f"{key}[{index}]") for index, turn in enumerate(turns)]
    system = text_field(fields, "system") or text_field(fields, "system_message")
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
    role = make_role(spelling, where)
    for call in ("tool_calls", "function_call"):
        if turn.get(call):
            raise RecordError(f"{where}: {call!r} cannot be kept; remove tool use first")
    weight = weight_field(turn, f"{where}: ")
    try:
        return Message(role=role, content=_text(turn, text_key, where), weight=weight)
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


def _from_alpaca(fields: Mapping[str, object], source: str) -> list[Record]:
    """Alpaca's instruction, input, output and history; AlpacaEval adds the `generator`."""
    question, answer = required_text(fields, "instruction"), required_text(fields, "output")
    extra = text_field(fields, "input")
    messages = _history(fields.get("history"))
    messages += [
        Message(role="user", content=f"{question}\n\n{extra}" if extra else question),
        Message(role="assistant", content=answer),
    ]
    conversation = Conversation(messages=tuple(messages), system=text_field(fields, "system"))
    model = text_field(fields, "generator") or text_field(fields, "model")
    return [Record.create(conversation, model=model, source=source)]


def _history(value: object) -> list[Message]:
    """LLaMA-Factory's addition to Alpaca: earlier pairs of question and answer."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RecordError(f"expected a list under 'history', got {kind_of(value)}")
    messages: list[Message] = []
    for index, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2:
            raise RecordError(f"history[{index}]: expected a pair of question and answer")
        for role, text in zip(("user", "assistant"), pair, strict=True):
            if not isinstance(text, str):
                raise RecordError(f"history[{index}]: expected strings, got {kind_of(text)}")
            messages.append(Message(role=role, content=text))
    return messages


def _from_openorca(fields: Mapping[str, object], source: str) -> list[Record]:
    """OpenOrca's columns; which model answered is part of the published files' names."""
    model = text_field(fields, "model")
    if not model and _GPT35_FILE.search(source):
        model = "gpt-3.5-turbo"
    elif not model and _GPT4_FILE.search(source):
        model = "gpt-4"
    record = question_and_answer(
        required_text(fields, "question"),
        required_text(fields, "response"),
        system=text_field(fields, "system_prompt"),
        model=model,
        source=source,
    )
    return [record]


def _from_orca_merge(fields: Mapping[str, object], source: str) -> list[Record]:
    """One question with the answers of both models, either of which may be missing."""
    question, system = required_text(fields, "question"), text_field(fields, "system_prompt")
    records = [
        question_and_answer(question, answer, system=system, model=model, source=source)
        for column, model in _ORCA_ANSWERS.items()
        if (answer := text_field(fields, column))
    ]
    if not records:
        raise RecordError(f"no answer under {' or '.join(map(repr, _ORCA_ANSWERS))}")
    return records


def _from_questions(fields: Mapping[str, object], source: str) -> list[Record]:
    """MT-bench: the questions of one chat, whose answers are still to come."""
    turns = fields.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        raise RecordError("expected a list of strings under 'turns'")
    messages = tuple(Message(role="user", content=turn) for turn in turns)
    return [Record.create(Conversation(messages=messages), source=source)]


def _from_text(fields: Mapping[str, object], source: str) -> list[Record]:
    text = required_text(fields, "text")
    if not text:
        raise RecordError("the document has no text")
    origin = text_field(fields, "source") or source
    return [Record.create_document(text, source=origin, weight=weight_field(fields))]


_CONVERTERS: dict[str, Callable[[Mapping[str, object], str], list[Record]]] = {
    "sharegpt": _from_sharegpt,
    "openai": _from_openai,
    "alpaca": _from_alpaca,
    "openorca": _from_openorca,
    "orca-merge": _from_orca_merge,
    "openchat": _from_record,
    "mt-bench": _from_questions,
    "text": _from_text,
}
FORMATS = tuple(_CONVERTERS)
_TELLING_FIELDS = {
    "openorca": ("question", "response"),
    "alpaca": ("instruction",),
    "mt-bench": ("turns",),
    "text": ("text",),
}
