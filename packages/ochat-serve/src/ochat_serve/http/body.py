"""The JSON bodies of chat and plain completions, checked field by field.

Whether roles, condition and length fit the model is decided in `ochat_serve.chat`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from ochat_serve.chat import ChatMessage, ChatRequest, CompletionRequest
from ochat_serve.errors import RequestError
from ochat_serve.http.fields import SamplingBody
from ochat_serve.http.formats import ResponseFormatBody

_MOST_PROMPTS = 2_048  # OpenAI's


def _joined_parts(value: object) -> object:
    """Content parts of type text as one text; anything else is left for the type check."""
    if not isinstance(value, list):
        return value
    texts: list[str] = []
    for part in value:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise ValueError("only content parts of type 'text' are understood")
        texts.append(text)
    return "".join(texts)


class MessageBody(BaseModel):
    """One message; fields that OpenAI's own answers carry empty are accepted empty."""

    model_config = ConfigDict(strict=True, extra="allow")

    role: str
    content: Annotated[str, BeforeValidator(_joined_parts)]

    @model_validator(mode="after")
    def _refuse_what_would_be_ignored(self) -> MessageBody:
        for name, value in (self.model_extra or {}).items():
            if value not in (None, []):
                raise ValueError(f"the message field '{name}' is not supported")
        return self


class ChatCompletionBody(SamplingBody):
    """The body of `POST /v1/chat/completions`: OpenAI's fields, `condition`, vLLM's sampling."""

    messages: Annotated[list[MessageBody], Field(min_length=1)]
    condition: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormatBody | None = None

    def to_request(self) -> ChatRequest:
        """The request in the chat layer's terms; null means the default everywhere."""
        if self.top_logprobs and not self.logprobs:
            raise RequestError(
                "top_logprobs needs logprobs to be true.",
                param="top_logprobs",
                code="invalid_value",
            )
        return ChatRequest(
            model=self.model,
            messages=tuple(ChatMessage(role=m.role, content=m.content) for m in self.messages),
            condition=self.condition or "",
            n=1 if self.n is None else self.n,
            max_tokens=self._wanted_tokens(),
            stop=tuple(self.stop or ()),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            ignore_eos=bool(self.ignore_eos),
            skip_special_tokens=self.skip_special_tokens is not False,
            sampling=self.sampling(
                logprobs=(self.top_logprobs or 0) if self.logprobs else None,
                json_schema=self.response_format.schema_text() if self.response_format else None,
            ),
        )

    def _wanted_tokens(self) -> int | None:
        """OpenAI's older and newer name for the same limit."""
        old, new = self.max_tokens, self.max_completion_tokens
        if old is not None and new is not None and old != new:
            raise RequestError(
                f"max_tokens is {old} and max_completion_tokens is {new}; give one of them.",
                param="max_tokens",
                code="invalid_value",
            )
        return old if new is None else new


def _prompts(value: object) -> object:
    """The four forms of a prompt as a list of texts and lists of ids."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(type(each) is int for each in value):
        return [value]
    if not isinstance(value, list) or not value:
        raise ValueError("expected a text, a list of texts, token ids, or lists of token ids")
    for each in value:
        ids = isinstance(each, list) and bool(each) and all(type(i) is int for i in each)
        if not isinstance(each, str) and not ids:
            raise ValueError("expected a text, a list of texts, token ids, or lists of token ids")
    return value


class CompletionBody(SamplingBody):
    """The body of `POST /v1/completions`."""

    prompt: Annotated[list[JsonValue], Field(max_length=_MOST_PROMPTS), BeforeValidator(_prompts)]
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: Annotated[int, Field(ge=1, le=128)] | None = None
    add_special_tokens: bool | None = None

    def to_request(self) -> CompletionRequest:
        """The request in the chat layer's terms; null means the default everywhere."""
        n = 1 if self.n is None else self.n
        if n * len(self.prompt) > _MOST_PROMPTS:
            raise RequestError(
                f"Expected at most {_MOST_PROMPTS} answers, got {n} for each of "
                f"{len(self.prompt)} prompts.",
                param="n",
                code="invalid_value",
            )
        if self.best_of not in (None, n):
            raise RequestError(
                "best_of other than n is not supported.", param="best_of", code="invalid_value"
            )
        if self.max_tokens == 0 and not self.echo:
            raise RequestError(
                "max_tokens may be 0 only with echo.", param="max_tokens", code="invalid_value"
            )
        return CompletionRequest(
            model=self.model,
            prompts=tuple(p if isinstance(p, str) else _ids(p) for p in self.prompt),
            add_special_tokens=self.add_special_tokens is not False,
            echo=bool(self.echo),
            n=n,
            max_tokens=16 if self.max_tokens is None else self.max_tokens,
            stop=tuple(self.stop or ()),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            ignore_eos=bool(self.ignore_eos),
            skip_special_tokens=self.skip_special_tokens is not False,
            sampling=self.sampling(
                logprobs=self.logprobs, prompt_logprobs=self.logprobs if self.echo else None
            ),
        )


def _ids(value: JsonValue) -> tuple[int, ...]:
    return tuple(i for i in value if isinstance(i, int)) if isinstance(value, list) else ()
