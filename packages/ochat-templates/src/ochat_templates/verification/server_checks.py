"""A running server's tokens, against a codec that follows the rule.

Speaks to vLLM's `/tokenize`, which takes a text or a chat; nothing beside the standard library.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ochat_templates.codec import Codec
from ochat_templates.conversation import Conversation
from ochat_templates.errors import TokenizerError
from ochat_templates.sampling import sample_conversations, sample_texts

from .comparing import Comparison, causes_of
from .report import Check, both_sides, shown

_TIMEOUT_S = 30.0
# One request each: enough to meet every known defect, few enough for a server at work.
_TEXTS, _CHATS = 300, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server and the model that it serves."""

    url: str
    model: str

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return self._tokenize({"prompt": text, "add_special_tokens": False})

    def chat(self, conversation: Conversation) -> list[int]:
        """The ids of a prompt, by the server's own chat template."""
        rows = [{"role": m.role, "content": m.content} for m in conversation.messages]
        if conversation.system:
            rows.insert(0, {"role": "system", "content": conversation.system})
        return self._tokenize({"messages": rows, "add_generation_prompt": True})

    def _tokenize(self, body: Mapping[str, object]) -> list[int]:
        answer = _ask(f"{self.url}/tokenize", {"model": self.model, **body})
        tokens = answer.get("tokens")
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise TokenizerError(f"{self.url}/tokenize gave no list of tokens: {answer!r:.100}")
        return tokens


def open_server(url: str) -> Server:
    """Asks a server which model it serves.

    Raises:
        TokenizerError: Nothing answers there, or not as an OpenAI-compatible server does.
    """
    base = url.rstrip("/").removesuffix("/v1")
    answer = _ask(f"{base}/v1/models", None)
    try:
        return Server(url=base, model=str(answer["data"][0]["id"]))
    except (KeyError, IndexError, TypeError) as error:
        raise TokenizerError(f"{base}/v1/models names no model: {answer!r:.100}") from error


def check_server(codec: Codec, server: Server, comparison: Comparison, *, seed: int) -> None:
    """Compares texts alone, and conversations through the server's chat template.

    Raises:
        TokenizerError: The server does not answer, or has no `/tokenize`.
    """
    texts = islice(sample_texts(codec.template, seed, special_strings=False), _TEXTS)
    plain = [text for text in texts if text and not any(t in text for t in codec.control_ids)]
    comparison.compare(
        f"texts alone, by the server's {server.model}",
        codec,
        [(text, codec.encode_text(text)) for text in plain],
        server.encode,
    )
    default = codec.template.condition.default
    checked = differing = 0
    for chat in islice(sample_conversations(codec.template, seed, special_strings=False), _CHATS):
        if chat.condition != default:
            continue
        asked = replace(chat, messages=chat.messages[:-1])
        got, expected = server.chat(asked), codec.prompt(asked)
        checked += 1
        if got != expected:
            differing += 1
            last = shown(asked.messages[-1].content)
            for cause in causes_of(codec, got, expected):
                seen = f"a chat ending in {last} gives {both_sides(got, expected)}"
                comparison.add(f"{cause} (chat template)", seen)
    comparison.checks.append(
        Check(name="conversations by the server", checked=checked, differing=differing)
    )


def _ask(url: str, body: Mapping[str, object] | None) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise TokenizerError(f"{url} is no address; give one such as http://127.0.0.1:8000")
    request = urllib.request.Request(  # noqa: S310 - the scheme has just been checked
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            answer: object = json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise TokenizerError(
            f"{url} answered {error.code} {error.reason}; --url takes the address of a vLLM "
            "server, which has /tokenize"
        ) from error
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{url} does not answer ({error}); is the server up?") from error
    if not isinstance(answer, dict):
        raise TokenizerError(f"{url} did not answer with a JSON object")
    return answer
