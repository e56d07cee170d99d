"""Any OpenAI-compatible server: a question becomes one chat request.

What a request looks like is here; sending it is in `client`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

import orjson

from ochat_eval.backends.base import Reply
from ochat_eval.backends.client import ChatClient
from ochat_eval.config import RunConfig
from ochat_eval.question import Question


class HttpBackend:
    """Asks a server that is already there."""

    def __init__(self, config: RunConfig) -> None:
        """Remember where and how to ask; nothing is sent yet.

        Raises:
            ServerError: The base URL is none, or no HTTP header can carry the key.
        """
        self._config, self._client = config, ChatClient(config)

    async def __aenter__(self) -> Self:
        """Open the connections' pool."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self._client.__aexit__(kind, error, trace)

    async def check(self) -> None:
        """Make sure that the server is there, takes the key and serves the model."""
        await self._client.check_model()

    async def ask(self, question: Question, *, on_throttle: Callable[[], None]) -> Reply:
        """Ask; where limit and prompt together exceed the context, again with what fits.

        An answer that is cut short by that says so by its finish reason, as any other.
        """
        limit = self._config.max_tokens or question.max_tokens
        body = request_body(self._config, question, max_tokens=limit)
        reply = await self._client.ask(body, on_throttle=on_throttle)
        if limit is None or not _exceeds_context(reply):
            return reply
        body = request_body(self._config, question, max_tokens=None)
        return replace(await self._client.ask(body, on_throttle=on_throttle), fitted=True)


def request_body(config: RunConfig, question: Question, *, max_tokens: int | None) -> bytes:
    """The JSON of one chat request; what is not set is left to the server."""
    messages = [{"role": "user", "content": question.prompt}]
    if config.system:
        messages.insert(0, {"role": "system", "content": config.system})
    body: dict[str, object] = {
        "model": config.model,
        "messages": messages,
        "temperature": config.temperature,
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if config.condition:
        body["condition"] = config.condition
    if question.stop:
        body["stop"] = list(question.stop)
    return orjson.dumps(body)


def _exceeds_context(reply: Reply) -> bool:
    """Whether the server refused because the request does not fit, in the words of vLLM."""
    error = (reply.error or "").lower()
    return error.startswith("400") and "context length" in error
