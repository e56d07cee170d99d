"""Record: one conversation with its identity and origin, the line format between all commands.

What a conversation may hold is `ochat_templates`' business; reading foreign formats is `formats`'.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from ochat_templates import Conversation, ConversationError

from .errors import RecordError

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A conversation with its identity and origin.

    Attributes:
        id: 32 hexadecimal digits, given at import and kept by every later step, so that a record
            can be followed from the dataset back to its file.
        conversation: The messages, system text and condition.
        model: Who answered, as the source wrote it; empty where unknown.
        source: Where it came from, usually a file's name.
    """

    id: str
    conversation: Conversation
    model: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """Refuses text that no file could hold."""
        _require_encodable(self.model, "model")
        _require_encodable(self.source, "source")

    @classmethod
    def create(cls, conversation: Conversation, *, model: str = "", source: str = "") -> Record:
        """Makes a record whose id is a digest of all it holds.

        Raises:
            RecordError: Model or source hold a lone surrogate, which UTF-8 cannot carry.
        """
        record = cls(id="", conversation=conversation, model=model, source=source)
        content = [conversation.to_json(), model, source]
        digest = hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16)
        return replace(record, id=digest.hexdigest())

    @classmethod
    def from_json(cls, value: object) -> Record:
        """Reads what `to_json` wrote; a record without an id of ours is given one.

        Raises:
            RecordError: A field is missing or of the wrong type; the text names it.
        """
        fields = as_object(value, "a record")
        try:
            conversation = Conversation.from_json(fields)
        except ConversationError as error:
            raise RecordError(str(error)) from error
        if not conversation.messages:
            raise RecordError("the conversation has no messages")
        model, source = text_field(fields, "model"), text_field(fields, "source")
        given = fields.get("id")
        if isinstance(given, str) and _ID.fullmatch(given):
            return cls(id=given, conversation=conversation, model=model, source=source)
        return cls.create(conversation, model=model, source=source)

    def to_json(self) -> dict[str, object]:
        """The JSON object of one line; absent fields are left out."""
        fields: dict[str, object] = {"id": self.id, **self.conversation.to_json()}
        if self.model:
            fields["model"] = self.model
        if self.source:
            fields["source"] = self.source
        return fields

    def to_line(self) -> bytes:
        """One line of a record file, with its line end."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_APPEND_NEWLINE)


def as_object(value: object, what: str) -> Mapping[str, object]:
    """Returns a JSON object as a mapping, or says what came instead."""
    if not isinstance(value, Mapping):
        raise RecordError(f"expected {what} to be a JSON object, got {kind_of(value)}")
    return value


def text_field(fields: Mapping[str, object], key: str, where: str = "") -> str:
    """An optional text field; absent and null are empty."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RecordError(f"{where}expected a string under {key!r}, got {kind_of(value)}")
    return value


def _require_encodable(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecordError(
            f"{what!r} has a lone surrogate at character {error.start}; replace it (U+FFFD)"
        ) from error


def kind_of(value: object) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "nothing"
    names: dict[type, str] = {
        bool: "true or false",
        dict: "an object",
        list: "a list",
        str: "a string",
    }
    return names.get(type(value), "a number")
