"""Fields that several request bodies share: sampling parameters, and what to do with the rest.

Strict as OpenAI is: wrong types, unknown names and parameters that cannot be honoured are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
)

from ochat_serve.engine import SamplingParams
from ochat_serve.errors import RequestError, UnsupportedParameterError
from ochat_serve.http.errors import from_validation

_INT64 = 2**63
_MOST_BIASES, _ID_DIGITS = 1_024, 9
# OpenAI's fields that change the answer and cannot be honoured: with one of the values listed
# they ask for nothing and pass, with any other they are refused and never ignored.
_NEUTRAL: dict[str, tuple[JsonValue, ...]] = {
    "audio": (None,),
    "background": (None, False),
    "context_management": (None, []),
    "conversation": (None,),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "include": (None, []),
    "max_tool_calls": (None,),
    "modalities": (None, ["text"]),
    "moderation": (None,),
    "prediction": (None,),
    "previous_response_id": (None,),
    "prompt": (None,),
    "reasoning": (None, {}),
    "reasoning_effort": (None, "none"),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "truncation": (None, "disabled"),
    "verbosity": (None,),
    "web_search_options": (None,),
}
# What may be called, and whether; an answer that must call nothing may be told of anything.
_TOOLS = frozenset({"functions", "tools"})
_TOOL_CHOICES = frozenset({"function_call", "tool_choice"})
# Fields that change no answer: bookkeeping of OpenAI's platform.
_WITHOUT_EFFECT = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # OpenAI pads chunks against eavesdroppers; no effect


_StopText = Annotated[str, Field(min_length=1, max_length=256)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


class SamplingBody(BaseModel):
    """What a body says about choosing tokens: OpenAI's fields and vLLM's extensions."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
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
    logit_bias: dict[str, float] | None = None

    @field_validator("logit_bias")
    @classmethod
    def _ids_and_amounts(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and len(value) > _MOST_BIASES:
            raise ValueError(f"expected at most {_MOST_BIASES} entries")
        for name, amount in (value or {}).items():
            if not (name.isascii() and name.isdigit() and len(name) <= _ID_DIGITS):
                raise ValueError(f"expected token ids as names, got {name[:20]!r}")
            if not -100 <= amount <= 100:
                raise ValueError(f"expected amounts from -100 to 100, got {amount}")
        return value

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage numbers."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def content(self) -> object:
        """What was asked, for a log that keeps it."""
        names = {"messages", "prompt", "input", "instructions"}
        return self.model_dump(include=names, exclude_none=True)

    def sampling(
        self,
        *,
        logprobs: int | None = None,
        prompt_logprobs: int | None = None,
        json_schema: str | None = None,
    ) -> SamplingParams:
        """The engine's parameters; null means the default everywhere."""
        neutral = SamplingParams()
        return SamplingParams(
            min_tokens=self.min_tokens or 0,
            temperature=_or(self.temperature, neutral.temperature),
            top_p=_or(self.top_p, neutral.top_p),
            top_k=max(self.top_k or 0, 0),  # -1 is vLLM's older word for "all"
            min_p=_or(self.min_p, neutral.min_p),
            seed=self.seed,
            repetition_penalty=_or(self.repetition_penalty, neutral.repetition_penalty),
            presence_penalty=_or(self.presence_penalty, neutral.presence_penalty),
            frequency_penalty=_or(self.frequency_penalty, neutral.frequency_penalty),
            logit_bias=tuple((int(k), v) for k, v in (self.logit_bias or {}).items()),
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            json_schema=json_schema,
        )


Body = TypeVar("Body", bound=BaseModel)


def parse_body(raw: bytes, kind: type[Body]) -> Body:
    """Read and check a body.

    Raises:
        RequestError: It is not JSON, or a field is missing, unknown or wrong.
        UnsupportedParameterError: A field of OpenAI's asks for what this server cannot do.
    """
    try:
        body = kind.model_validate_json(raw)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False)[0]) from error
    _require_met(body.model_extra or {})
    if isinstance(body, SamplingBody) and body.stream_options is not None and not body.stream:
        raise RequestError(
            "stream_options is only allowed when stream is true.",
            param="stream_options",
            code="invalid_value",
        )
    return body


def _require_met(fields: Mapping[str, JsonValue]) -> None:
    """Refuse fields that nobody knows, and those that ask for what cannot be had here."""
    calls_nothing = "none" in (fields.get(name) for name in _TOOL_CHOICES)
    for name, value in fields.items():
        if name in _WITHOUT_EFFECT:
            continue
        if name not in _NEUTRAL:
            raise RequestError(
                f"Unknown parameter: '{name[:100]}'.", param=name[:100], code="unknown_parameter"
            )
        if value in _NEUTRAL[name] or (name in _TOOLS and calls_nothing):
            continue
        reason = f"This server does not support {name}"
        if name in _TOOLS | _TOOL_CHOICES:
            reason = "No template of OpenChat's has a form for tool calls, so none can be offered"
        raise UnsupportedParameterError(f"{reason}; leave {name} out.", param=name)


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)
