"""The JSON body of `POST /v1/responses`: stateless text, as a chat request."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ochat_serve.chat import ChatMessage, ChatRequest
from ochat_serve.errors import UnsupportedParameterError
from ochat_serve.http.fields import SamplingBody
from ochat_serve.http.formats import TextBody

_TEXT_PARTS = ("input_text", "output_text", "text")


def _content(value: object) -> object:
    """Content parts of text as one text."""
    if not isinstance(value, list):
        return value
    texts: list[str] = []
    for part in value:
        known = isinstance(part, dict) and part.get("type") in _TEXT_PARTS
        text = part.get("text") if known else None
        if not isinstance(text, str):
            raise ValueError("only content parts of text are understood")
        texts.append(text)
    return "".join(texts)


def _items(value: object) -> object:
    """A bare text is one message of the user."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


class ItemBody(BaseModel):
    """One message of the input; an output item of an earlier answer may be sent back."""

    model_config = ConfigDict(strict=True, extra="forbid")

    role: str
    content: Annotated[str, BeforeValidator(_content)]
    type: str = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None

    @field_validator("type")
    @classmethod
    def _message(cls, value: str) -> str:
        if value != "message":
            raise ValueError("only items of type 'message' are understood")
        return value


class ResponseBody(SamplingBody):
    """OpenAI's fields for text, `condition`, and vLLM's sampling."""

    input: Annotated[list[ItemBody], Field(min_length=1), BeforeValidator(_items)]
    instructions: str | None = None
    condition: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    text: TextBody | None = None
    metadata: dict[str, str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None

    def to_request(self) -> ChatRequest:
        """The request in the chat layer's terms; null means the default everywhere."""
        if self.n not in (None, 1):
            raise UnsupportedParameterError("A response has one answer; leave n out.", param="n")
        messages = [ChatMessage(role=m.role, content=m.content) for m in self.input]
        if self.instructions:
            messages.insert(0, ChatMessage(role="system", content=self.instructions))
        return ChatRequest(
            model=self.model,
            messages=tuple(messages),
            condition=self.condition or "",
            max_tokens=self.max_output_tokens,
            stop=tuple(self.stop or ()),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            ignore_eos=bool(self.ignore_eos),
            skip_special_tokens=self.skip_special_tokens is not False,
            sampling=self.sampling(json_schema=self.text.schema_text() if self.text else None),
            schema_field="text.format.schema",
        )

    def echoed(self) -> dict[str, Any]:
        """The fields that an answer repeats."""
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "text": (self.text or TextBody()).echoed(),
        }
