"""A running server's tokens, against a codec that follows the rule.

Speaks to vLLM's `/tokenize`, which takes a text or a chat; nothing beside the standard library.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import islice
from typing import Any

from ochat_templates.codec import Codec
from ochat_templates.conversation import Conversation
from ochat_templates.errors import TokenizerError
from ochat_templates.sampling import sample_conversations, sample_texts

from .chat_template_checks import REFUSES
from .comparing import FORGED, Comparison, Difference, causes_of
from .rendering import render_prompt
from .report import both_sides, shown

_TIMEOUT_S = 30.0
# One request each: enough to meet every known defect, few enough for a server at work.
_TEXTS, _CHATS = 300, 100


class _RefusalError(TokenizerError):
    """The server understood the request and refuses it, as a chat without a chat template."""


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


def check_server(codec: Codec, server: Server, comparison: Comparison, *, seed: int) -> list[str]:
    """Compares texts, whole conversations, and chats by the server's template; returns notes.

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
    chats = [
        replace(chat, messages=chat.messages[:-1])
        for chat in islice(
            sample_conversations(codec.template, seed, special_strings=False), _CHATS
        )
    ]
    rendered = [(render_prompt(codec, chat), codec.prompt(chat)) for chat in chats]
    representable = [(text, ids) for text, ids in rendered if text is not None]
    name = "whole conversations as one string, by the server"
    comparison.compare(name, codec, representable, server.encode)
    default = codec.template.condition.default
    usual = [chat for chat in chats if chat.condition == default]
    return [*_check_chats(codec, server, usual, comparison), *_forgery(codec, server)]


def _check_chats(
    codec: Codec, server: Server, chats: Sequence[Conversation], comparison: Comparison
) -> list[str]:
    """Compares prompts made by the server's chat template; a note if it has none."""
    found: list[Difference] = []
    refusals: list[str] = []
    for chat in chats:
        last, expected = shown(chat.messages[-1].content), codec.prompt(chat)
        try:
            got = server.chat(chat)
        except _RefusalError as error:
            refusals.append(str(error))
            found.append(([REFUSES], f"a chat ending in {last}: {error}"))
            continue
        if got != expected:
            causes = [f"{cause} (chat template)" for cause in causes_of(codec, got, expected)]
            found.append((causes, f"a chat ending in {last} gives {both_sides(got, expected)}"))
    if refusals and len(refusals) == len(chats):
        return [f"no chat could be compared, for the server takes none: {refusals[0]}"]
    comparison.record("conversations by the server", len(chats), found)
    return []


def _forgery(codec: Codec, server: Server) -> list[str]:
    """Whether a text that spells the end of a turn becomes it."""
    text = f"so {codec.template.eot} it ends"
    if codec.eot_id not in server.encode(text):
        return []
    return [f"{FORGED}: the server ends a turn inside {shown(text)}; send it token ids instead"]


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
        if error.code == HTTPStatus.BAD_REQUEST:
            answered = error.read().decode(errors="replace")
            raise _RefusalError(f"{url} answered 400: {answered:.200}") from error
        raise TokenizerError(
            f"{url} answered {error.code} {error.reason}; --url takes the address of a vLLM "
            "server, which has /tokenize"
        ) from error
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{url} does not answer ({error}); is the server up?") from error
    if not isinstance(answer, dict):
        raise TokenizerError(f"{url} did not answer with a JSON object")
    return answer
