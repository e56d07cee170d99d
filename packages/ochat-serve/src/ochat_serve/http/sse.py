"""The bytes of a streamed chat completion: `data:` lines with compact JSON.

Written by hand around the one thing that changes from chunk to chunk, because this runs once a
token for every stream; a model object and its serialisation cost several times as much.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.chat import Delta, ScoredToken
    from ochat_serve.http.exchange import Exchange

DONE = b"data: [DONE]\n\n"
# ASCII only: some clients split events at Unicode line separators inside a JSON string.
_quote = encode_basestring_ascii


class ChunkWriter:
    """Makes the events of one stream."""

    def __init__(
        self,
        *,
        completion_id: str,
        created: int,
        model: str,
        fingerprint: str,
        choices: int,
        include_usage: bool,
    ) -> None:
        """Build everything that all chunks share, once.

        Args:
            completion_id: Id of the completion, the same in every chunk.
            created: Seconds since 1970.
            model: The model name that the caller used.
            fingerprint: Tells template and tokenizer from others.
            choices: How many answers the stream carries.
            include_usage: Whether a usage chunk will come; all others then say null.
        """
        self._head = (
            f'data: {{"id":{_quote(completion_id)},"object":"chat.completion.chunk",'
            f'"created":{created},"model":{_quote(model)},'
            f'"system_fingerprint":{_quote(fingerprint)},"choices":['
        )
        usage = ',"usage":null' if include_usage else ""
        self._prefixes = [f'{self._head}{{"index":{i},"delta":{{"content":' for i in range(choices)]
        self._suffix = f'}},"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'
        self._end = f"]{usage}}}\n\n"

    def role(self, index: int) -> bytes:
        """The chunk that opens an answer."""
        delta = '{"role":"assistant","content":""}'
        return self._choice(index, delta, "null")

    def delta(self, delta: Delta) -> bytes:
        """Text, if there is some, and the finish reason in a chunk of its own.

        Of its own because OpenChat-UI stops reading at a finish reason and drops the text beside.
        """
        text = ""
        if delta.scored:
            text = self._scored(delta)
        elif delta.text:
            text = self._prefixes[delta.index] + _quote(delta.text) + self._suffix
        if delta.finish_reason is None:
            return text.encode("ascii")
        return text.encode("ascii") + self._choice(delta.index, "{}", f'"{delta.finish_reason}"')

    def _scored(self, delta: Delta) -> str:
        """The chunk of a delta with log probabilities."""
        logprobs = json.dumps(chat_logprobs(delta.scored), separators=(",", ":"))
        prefix = self._prefixes[delta.index] + _quote(delta.text)
        return prefix + self._suffix.replace('"logprobs":null', f'"logprobs":{logprobs}', 1)

    def usage(self, exchange: Exchange) -> bytes:
        """The chunk without choices that carries the numbers."""
        numbers = json.dumps(usage_json(exchange), separators=(",", ":"))
        return f'{self._head}],"usage":{numbers}}}\n\n'.encode("ascii")

    def _choice(self, index: int, delta: str, reason: str) -> bytes:
        choice = f'{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{reason}}}'
        return f"{self._head}{choice}{self._end}".encode("ascii")


def chat_logprobs(scored: Sequence[ScoredToken]) -> dict[str, object]:
    """OpenAI's log probabilities of a chat answer."""

    def one(token: ScoredToken) -> dict[str, object]:
        data = None if token.data is None else list(token.data)
        return {"token": token.text, "logprob": token.logprob, "bytes": data}

    return {
        "content": [{**one(t), "top_logprobs": [one(each) for each in t.top]} for t in scored],
        "refusal": None,
    }


def usage_json(exchange: Exchange) -> dict[str, object]:
    """OpenAI's usage object."""
    usage: dict[str, object] = {
        "prompt_tokens": exchange.prompt_tokens,
        "completion_tokens": exchange.tokens,
        "total_tokens": exchange.prompt_tokens + exchange.tokens,
    }
    if exchange.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": exchange.cached_tokens}
    return usage


def error_event(body: bytes) -> bytes:
    """An error after the stream began; the official clients raise it."""
    return b"data: " + body + b"\n\n"
