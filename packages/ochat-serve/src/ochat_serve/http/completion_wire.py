"""`text_completion`: the answers of `/v1/completions`, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ochat_serve.http.sse import DONE, error_event, usage_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.chat import Delta, ScoredToken
    from ochat_serve.http.exchange import Exchange
    from ochat_serve.http.wire import AnswerParts


class CompletionWire:
    """OpenAI's completion objects."""

    def __init__(self, exchange: Exchange, *, include_usage: bool, logprobs: bool) -> None:
        """Prepare what all objects share."""
        self._exchange, self._include_usage, self._logprobs = exchange, include_usage, logprobs
        self._offsets = [0] * len(exchange.reasons)

    def opening(self) -> bytes:
        """Nothing."""
        return b""

    def delta(self, delta: Delta) -> bytes:
        """A chunk of text and, in the last one, the finish reason."""
        if not (delta.text or delta.scored or delta.finish_reason):
            return b""
        return self._event(
            [self._choice(delta.index, delta.text, delta.scored, delta.finish_reason)]
        )

    def closing(self) -> bytes:
        """The numbers, where they were asked for."""
        if not self._include_usage:
            return DONE
        return self._event([], usage_json(self._exchange)) + DONE

    def failure(self, error: bytes) -> bytes:
        """An error that the official clients raise."""
        return error_event(error) + DONE

    def document(self, answers: Sequence[AnswerParts]) -> dict[str, object]:
        """Everything at once."""
        exchange = self._exchange
        choices = [
            self._choice(index, parts.text, parts.scored, exchange.reasons[index])
            for index, parts in enumerate(answers)
        ]
        return {
            **self._head(choices),
            "usage": usage_json(exchange),
        }

    def _head(self, choices: list[dict[str, object]]) -> dict[str, object]:
        exchange = self._exchange
        return {
            "id": exchange.name,
            "object": "text_completion",
            "created": exchange.created,
            "model": exchange.model,
            "system_fingerprint": exchange.fingerprint,
            "choices": choices,
        }

    def _event(
        self, choices: list[dict[str, object]], usage: dict[str, object] | None = None
    ) -> bytes:
        event = self._head(choices)
        if self._include_usage:
            event["usage"] = usage
        return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"

    def _choice(
        self, index: int, text: str, scored: Sequence[ScoredToken], reason: str | None
    ) -> dict[str, object]:
        return {
            "index": index,
            "text": text,
            "logprobs": self._scores(index, scored) if self._logprobs else None,
            "finish_reason": reason,
        }

    def _scores(self, index: int, scored: Sequence[ScoredToken]) -> dict[str, object]:
        """OpenAI's older layout: four lists of one length."""
        offsets: list[int] = []
        for token in scored:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(token.text)
        return {
            "tokens": [token.text for token in scored],
            "token_logprobs": [token.logprob for token in scored],
            "top_logprobs": [_best(token) for token in scored],
            "text_offset": offsets,
        }


def _best(token: ScoredToken) -> dict[str, float | None] | None:
    """The best tokens with the one that stands there; null at the beginning of a prompt."""
    if token.logprob is None:
        return None
    best: dict[str, float | None] = {}
    for each in token.top:
        best.setdefault(each.text, each.logprob)  # half characters look alike; the best one stays
    best.setdefault(token.text, token.logprob)
    return best
