"""What form an answer shall have: `response_format` of chats, `text` of responses.

Whether a schema can be followed is decided in `ochat_serve.chat`.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

_Kind = Literal["text", "json_object", "json_schema"]
_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
_ANY_OBJECT: dict[str, JsonValue] = {"type": "object"}


class SchemaBody(BaseModel):
    """A JSON schema with its name; `strict` changes nothing, every schema is kept strictly."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: _Name
    description: str | None = None
    content: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormatBody(BaseModel):
    """`response_format` of a chat completion."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: _Kind
    json_schema: SchemaBody | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> ResponseFormatBody:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with type 'json_schema', and only with it")
        return self

    def schema_text(self) -> str | None:
        """The schema of the answer as text; None where it is free."""
        return _schema_text(self.type, self.json_schema.content if self.json_schema else None)


class TextFormatBody(BaseModel):
    """`text.format` of a response."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: _Kind
    name: _Name | None = None
    description: str | None = None
    content: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> TextFormatBody:
        wanted = self.type == "json_schema"
        if wanted and (self.name is None or self.content is None):
            raise ValueError("type 'json_schema' needs name and schema")
        if not wanted and self.content is not None:
            raise ValueError("schema goes with type 'json_schema' only")
        return self


class TextBody(BaseModel):
    """`text` of a response."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: TextFormatBody | None = None
    verbosity: Literal["medium"] | None = None

    def schema_text(self) -> str | None:
        """The schema of the answer as text; None where it is free."""
        return _schema_text(self.format.type, self.format.content) if self.format else None

    def echoed(self) -> dict[str, JsonValue]:
        """As an answer repeats it."""
        chosen = self.format or TextFormatBody(type="text")
        return {"format": chosen.model_dump(by_alias=True, exclude_none=True)}


def _schema_text(kind: str, schema: dict[str, JsonValue] | None) -> str | None:
    if kind == "text":
        return None
    return json.dumps(_ANY_OBJECT if schema is None else schema)
