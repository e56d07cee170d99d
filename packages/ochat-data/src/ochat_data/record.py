"""Record: a conversation, or a plain document, with its identity and origin: one line of a file.

What a conversation may hold is `ochat_templates`' business; reading foreign formats is `formats`'.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from ochat_templates import Conversation, ConversationError

from .errors import RecordError

_ID = re.compile(r"[0-9a-f]{32}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A conversation, or a plain document, with its identity and origin.

    Attributes:
        id: 32 hexadecimal digits, given at import and kept by every later step, so that a record
            can be followed from the dataset back to its file.
        conversation: The messages, system text and condition.
        model: Who answered, as the source wrote it; empty where unknown.
        source: Where it came from, usually a file's name.
        text: A plain document to be mixed in, as pre-training data has it; the conversation then
            has no messages. Empty for a conversation.
        weight: Loss weight of a document's tokens; None means 1.0. Messages have their own.
        language: ISO 639-1 code of the language it is in, or `und`; empty where nobody looked.
    """

    id: str
    conversation: Conversation
    model: str = ""
    source: str = ""
    text: str = ""
    weight: float | None = None
    language: str = ""

    def __post_init__(self) -> None:
        """Refuses text that no file could hold."""
        _require_encodable(self.model, "model")
        _require_encodable(self.source, "source")
        _require_encodable(self.text, "text")
        if self.text and self.conversation.messages:
            raise RecordError("a record holds messages or a document's 'text', not both")

    @property
    def is_document(self) -> bool:
        """Whether it is plain text instead of a conversation."""
        return not self.conversation.messages

    @classmethod
    def create(cls, conversation: Conversation, *, model: str = "", source: str = "") -> Record:
        """Makes a record whose id is a digest of all it holds.

        Raises:
            RecordError: Model or source hold a lone surrogate, which UTF-8 cannot carry.
        """
        record = cls(id="", conversation=conversation, model=model, source=source)
        return replace(record, id=record._digest())

    @classmethod
    def create_document(cls, text: str, *, source: str = "", weight: float | None = None) -> Record:
        """Makes the record of a plain document; errors as `create`."""
        empty = Conversation(messages=())
        record = cls(id="", conversation=empty, source=source, text=text, weight=weight)
        return replace(record, id=record._digest())

    @classmethod
    def from_json(cls, value: object) -> Record:
        """Reads what `to_json` wrote; a record without an id of ours is given one.

        Raises:
            RecordError: A field is missing or of the wrong type; the text names it.
        """
        fields = as_object(value, "a record")
        if "text" in fields and "items" not in fields:
            return cls._document_from_json(fields)
        try:
            conversation = Conversation.from_json(fields)
        except ConversationError as error:
            raise RecordError(str(error)) from error
        if not conversation.messages:
            raise RecordError("the conversation has no messages")
        record = cls(
            id=_given_id(fields),
            conversation=conversation,
            model=text_field(fields, "model"),
            source=text_field(fields, "source"),
            language=_language(fields),
        )
        return record if record.id else replace(record, id=record._digest())

    @classmethod
    def _document_from_json(cls, fields: Mapping[str, object]) -> Record:
        text = text_field(fields, "text")
        if not text:
            raise RecordError("the document has no text")
        record = cls.create_document(
            text, source=text_field(fields, "source"), weight=weight_field(fields)
        )
        return replace(record, id=_given_id(fields) or record.id, language=_language(fields))

    def _digest(self) -> str:
        """32 hexadecimal digits of what is said and where it comes from."""
        said: list[object] = [self.text] if self.text else [self.conversation.to_json(), self.model]
        data = orjson.dumps([*said, self.source], option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    def to_json(self) -> dict[str, object]:
        """The JSON object of one line; absent fields are left out."""
        fields: dict[str, object] = {"id": self.id}
        if self.is_document:
            fields["text"] = self.text
            if self.weight is not None:
                fields["weight"] = self.weight
        else:
            fields |= self.conversation.to_json()
        if self.model:
            fields["model"] = self.model
        if self.source:
            fields["source"] = self.source
        if self.language:
            fields["language"] = self.language
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


def weight_field(fields: Mapping[str, object], where: str = "") -> float | None:
    """An optional loss weight: a finite number from 0 up."""
    weight = fields.get("weight")
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise RecordError(f"{where}expected a number under 'weight', got {kind_of(weight)}")
    try:
        number = float(weight)
    except OverflowError as error:
        raise RecordError(f"{where}the loss weight is too large for a number") from error
    if not 0 <= number < math.inf:
        raise RecordError(f"{where}a loss weight must be finite and not negative, got {number}")
    return number


def _given_id(fields: Mapping[str, object]) -> str:
    given = fields.get("id")
    return given if isinstance(given, str) and _ID.fullmatch(given) else ""


def _language(fields: Mapping[str, object]) -> str:
    """The language that an earlier step noted; a foreign dump's own field may hold anything."""
    language = fields.get("language")
    known = isinstance(language, str) and _LANGUAGE.fullmatch(language)
    return language if known and isinstance(language, str) else ""


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
