"""What a wire format is: deltas in, bytes or a JSON document out; and that of chat completions.

Sending them belongs to `responses`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ochat_serve.http.sse import DONE, ChunkWriter, chat_logprobs, error_event, usage_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.chat import Delta, ScoredToken
    from ochat_serve.http.exchange import Exchange


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """One whole answer, as it came.

    Attributes:
        texts: Its text in pieces.
        scored: Its tokens, where log probabilities were asked for.
    """

    texts: list[str] = field(default_factory=list)
    scored: list[ScoredToken] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.texts)


class Wire(Protocol):
    """One route's way of writing an answer."""

    def opening(self) -> bytes:
        """What a stream begins with."""
        ...

    def delta(self, delta: Delta) -> bytes:
        """A delta in a stream; nothing where it says nothing."""
        ...

    def closing(self) -> bytes:
        """What a whole stream ends with."""
        ...

    def failure(self, error: bytes) -> bytes:
        """What a broken stream ends with; `error` is OpenAI's error object."""
        ...

    def document(self, answers: Sequence[AnswerParts]) -> dict[str, object]:
        """The whole answer at once."""
        ...


class ChatWire:
    """`chat.completion` and `chat.completion.chunk`."""

    def __init__(self, exchange: Exchange, *, include_usage: bool, logprobs: bool) -> None:
        """Prepare the chunks."""
        self._exchange, self._include_usage, self._logprobs = exchange, include_usage, logprobs
        self._writer = ChunkWriter(
            completion_id=exchange.name,
            created=exchange.created,
            model=exchange.model,
            fingerprint=exchange.fingerprint,
            choices=len(exchange.reasons),
            include_usage=include_usage,
        )

    def opening(self) -> bytes:
        """The role of every answer."""
        return b"".join(map(self._writer.role, range(len(self._exchange.reasons))))

    def delta(self, delta: Delta) -> bytes:
        """A chunk of text; see `ChunkWriter.delta`."""
        return self._writer.delta(delta)

    def closing(self) -> bytes:
        """The numbers, where they were asked for."""
        if not self._include_usage:
            return DONE
        return self._writer.usage(self._exchange) + DONE

    def failure(self, error: bytes) -> bytes:
        """An error that the official clients raise."""
        return error_event(error) + DONE

    def document(self, answers: Sequence[AnswerParts]) -> dict[str, object]:
        """OpenAI's chat completion object."""
        exchange = self._exchange
        return {
            "id": exchange.name,
            "object": "chat.completion",
            "created": exchange.created,
            "model": exchange.model,
            "system_fingerprint": exchange.fingerprint,
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": parts.text, "refusal": None},
                    "logprobs": chat_logprobs(parts.scored) if self._logprobs else None,
                    "finish_reason": reason,
                }
                for index, (parts, reason) in enumerate(zip(answers, exchange.reasons, strict=True))
            ],
            "usage": usage_json(exchange),
        }
