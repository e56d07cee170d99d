"""The JSON body of a chat completion request, checked field by field.

Strict as OpenAI is: wrong types, unknown names and parameters that cannot be honoured are refused.
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
    ValidationError,
    model_validator,
)

from ochat_serve.chat import ChatMessage, ChatRequest
from ochat_serve.engine import SamplingParams
from ochat_serve.errors import RequestError, UnsupportedParameterError
from ochat_serve.http.errors import from_validation

_INT64 = 2**63
# Of OpenAI's fields those that change the answer and cannot be honoured: with one of the values
# listed they ask for nothing and pass, with any other they are refused and never ignored.
_NEUTRAL: dict[str, tuple[JsonValue, ...]] = {
    "audio": (None,),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "reasoning_effort": (None, "none"),
    "response_format": (None, {"type": "text"}),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
    "verbosity": (None,),
    "web_search_options": (None,),
}
# Fields that change no answer: bookkeeping of OpenAI's platform.
_WITHOUT_EFFECT = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)


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


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


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


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # OpenAI pads chunks against eavesdroppers; no effect


_StopText = Annotated[str, Field(min_length=1, max_length=256)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


class ChatCompletionBody(BaseModel):
    """The body of `POST /v1/chat/completions`: OpenAI's fields, `condition`, vLLM's sampling."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str
    messages: Annotated[list[MessageBody], Field(min_length=1)]
    condition: str | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stop: Annotated[list[_StopText] | None, Field(max_length=16), BeforeValidator(_as_list)] = None
    stop_token_ids: Annotated[list[int], Field(max_length=128)] | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=_INT64)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage numbers."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def to_request(self) -> ChatRequest:
        """The request in the chat layer's terms; null means the default everywhere."""
        neutral = SamplingParams()
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
            sampling=SamplingParams(
                min_tokens=self.min_tokens or 0,
                temperature=_or(self.temperature, neutral.temperature),
                top_p=_or(self.top_p, neutral.top_p),
                top_k=max(self.top_k or 0, 0),  # -1 is vLLM's older word for "all"
                min_p=_or(self.min_p, neutral.min_p),
                seed=self.seed,
                repetition_penalty=_or(self.repetition_penalty, neutral.repetition_penalty),
                presence_penalty=_or(self.presence_penalty, neutral.presence_penalty),
                frequency_penalty=_or(self.frequency_penalty, neutral.frequency_penalty),
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


def parse_chat_body(raw: bytes) -> ChatCompletionBody:
    """Read and check a body.

    Raises:
        RequestError: It is not JSON, or a field is missing, unknown or wrong.
        UnsupportedParameterError: A field of OpenAI's asks for what this server cannot do.
    """
    try:
        body = ChatCompletionBody.model_validate_json(raw)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False)[0]) from error
    for name, value in (body.model_extra or {}).items():
        if name in _WITHOUT_EFFECT:
            continue
        if name not in _NEUTRAL:
            raise RequestError(
                f"Unknown parameter: '{name[:100]}'.", param=name[:100], code="unknown_parameter"
            )
        if value not in _NEUTRAL[name]:
            raise UnsupportedParameterError(
                f"This server does not support {name}; leave it out.", param=name
            )
    if body.stream_options is not None and not body.stream:
        raise RequestError(
            "stream_options is only allowed when stream is true.",
            param="stream_options",
            code="invalid_value",
        )
    return body


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)
