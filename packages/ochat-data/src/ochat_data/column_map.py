"""Reads a format that nobody knew of, by the names of its columns that the user gives.

question=prompt answer=completion system=instructions model=engine
messages=dialogue role=speaker content=utterance user=Kunde assistant=Berater
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ochat_templates import Conversation, ConversationError, Message

from .errors import InputError, RecordError
from .formats import make_role, question_and_answer, required_text
from .record import Record, as_object, kind_of, text_field

_FIELDS = (
    *("question", "answer", "text", "messages", "role", "content", "user", "assistant"),
    *("system", "model", "condition", "source"),
)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Which column holds what; see the module's examples."""

    columns: Mapping[str, str]

    @classmethod
    def parse(cls, entries: Sequence[str]) -> ColumnMap:
        """Reads entries of the form `FIELD=COLUMN`.

        Raises:
            InputError: A field is unknown, or the fields do not make a record together.
        """
        columns: dict[str, str] = {}
        for entry in entries:
            field, separator, column = entry.partition("=")
            if not separator or not column or field not in _FIELDS:
                raise InputError(
                    f"--columns takes FIELD=COLUMN, where FIELD is one of {', '.join(_FIELDS)}; "
                    f"got {entry!r}"
                )
            columns[field] = column
        shapes = sum((key in columns) for key in ("answer", "text", "messages"))
        if shapes != 1 or ("question" in columns) != ("answer" in columns):
            raise InputError(
                "--columns must name question and answer, or messages, or text; got "
                f"{', '.join(columns) or 'nothing'}"
            )
        return cls(columns)

    def convert(self, value: object, *, source: str) -> list[Record]:
        """Converts one raw object.

        Raises:
            RecordError: A column is missing or holds something else.
        """
        fields = as_object(value, "a record")
        origin = self._optional(fields, "source") or source
        try:
            if "text" in self.columns:
                text = required_text(fields, self.columns["text"])
                if not text:
                    raise RecordError("the document has no text")
                return [Record.create_document(text, source=origin)]
            paired = "answer" in self.columns
            conversation = self._pair(fields) if paired else self._list(fields)
            return [
                Record.create(conversation, model=self._optional(fields, "model"), source=origin)
            ]
        except ConversationError as error:
            raise RecordError(str(error)) from error

    def _pair(self, fields: Mapping[str, object]) -> Conversation:
        record = question_and_answer(
            required_text(fields, self.columns["question"]),
            required_text(fields, self.columns["answer"]),
        )
        return Conversation(
            messages=record.conversation.messages,
            system=self._optional(fields, "system"),
            condition=self._optional(fields, "condition"),
        )

    def _list(self, fields: Mapping[str, object]) -> Conversation:
        column = self.columns["messages"]
        turns = fields.get(column)
        if not isinstance(turns, list) or not turns:
            raise RecordError(f"expected a list of messages under {column!r}, got {kind_of(turns)}")
        messages = [self._message(turn, index) for index, turn in enumerate(turns)]
        system = self._optional(fields, "system")
        if messages[0].role == "system" and not system:
            system = messages.pop(0).content
        if not messages:
            raise RecordError(f"{column!r} holds no messages")
        return Conversation(
            messages=tuple(messages),
            system=system,
            condition=self._optional(fields, "condition"),
        )

    def _message(self, turn: object, index: int) -> Message:
        where = f"{self.columns['messages']}[{index}]"
        if isinstance(turn, str):  # a list of bare strings begins with the user
            return Message(role=("user", "assistant")[index % 2], content=turn)
        fields = as_object(turn, where)
        role_key = self.columns.get("role", "role")
        spelling = fields.get(role_key)
        given = {self.columns.get(role): role for role in ("user", "assistant")}
        role = given.get(spelling) if isinstance(spelling, str) else None
        if role is None:
            role = make_role(spelling, f"{where}.{role_key}")
        content = required_text(fields, self.columns.get("content", "content"))
        return Message(role=role, content=content)

    def _optional(self, fields: Mapping[str, object], field: str) -> str:
        return text_field(fields, self.columns[field]) if field in self.columns else ""
