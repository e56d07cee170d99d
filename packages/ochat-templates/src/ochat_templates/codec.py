"""The encoding rule: a conversation to token ids and loss weights, and ids back to text.

Every text is encoded alone and control tokens are appended as ids, so the same message has the
same tokens wherever it stands, and no text can become a control token. The rule is that of
OpenChat's own training code (imoneoi/openchat, `ochat/config/conversation_template.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .conversation import Conversation, require_encodable
from .errors import TokenizerError
from .fingerprint import PROBES, Fingerprint, take_fingerprint
from .registry import get_template
from .streaming import StreamDecoder
from .template import Template
from .tokenizer import TextTokenizer, load_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A run of tokens `[start, end)` that shares one loss weight."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A conversation in the training form.

    Attributes:
        ids: Token ids, shape `(tokens,)`.
        spans: Where the loss weight is not zero, sorted and disjoint. A weight belongs to the
            token itself: it counts when that token is predicted from the ones before it.
    """

    ids: list[int]
    spans: tuple[Span, ...]

    def weights(self) -> list[float]:
        """One unshifted loss weight an id, shape `(tokens,)`."""
        weights = [0.0] * len(self.ids)
        for span in self.spans:
            weights[span.start : span.end] = [span.weight] * (span.end - span.start)
        return weights


class Codec:
    """A template with a tokenizer: encodes conversations, decodes answers.

    Make one with `load_codec`. It holds no state between calls and may be shared by threads.
    """

    def __init__(self, template: Template, tokenizer: TextTokenizer) -> None:
        """Checks that no text can become a control token.

        Raises:
            TokenizerError: The tokenizer turns the spelling of a control token into its id.
        """
        self.template = template
        self._tokenizer = tokenizer
        self._prefixes: dict[tuple[str, str], list[int]] = {}
        self.control_ids: Mapping[str, int] = dict(tokenizer.control_ids)
        _require_injection_safety(tokenizer, self.control_ids)

    @property
    def bos_id(self) -> int | None:
        """The id that opens a conversation; None where the format has none."""
        return self.control_ids[self.template.bos] if self.template.bos else None

    @property
    def eot_id(self) -> int:
        """The id of the end of a turn."""
        return self.control_ids[self.template.eot]

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The ids at which generation ends."""
        return (self.eot_id,)

    @cached_property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs for every text and control id."""
        return len(self._token_bytes)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What must be equal wherever these tokens are used; see `Fingerprint`."""
        wanted = self.template.control_tokens
        return take_fingerprint(
            template=self.template.to_json(),
            pieces=self._tokenizer.pieces,
            control_ids={token: self.control_ids[token] for token in wanted},
            probes=[self.encode_text(text) for text in PROBES],
        )

    @cached_property
    def _token_bytes(self) -> Sequence[bytes | None]:
        return self._tokenizer.token_bytes()

    def encode(self, conversation: Conversation) -> Encoded:
        """Encodes the training form: every turn closed by the end-of-turn token.

        Raises:
            ConversationError: A role, the condition or the system text is not the template's.
        """
        condition = self.template.resolve_condition(conversation.condition, training=True)
        ids = self._opening(conversation.system, condition)
        spans: list[Span] = []
        for message in conversation.messages:
            ids += self._prefix(message.role, condition)
            start = len(ids)
            ids += self._tokenizer.encode(message.content)
            ids.append(self.eot_id)
            if message.loss_weight:
                spans.append(Span(start=start, end=len(ids), weight=message.loss_weight))
        return Encoded(ids=ids, spans=tuple(spans))

    def prompt(self, conversation: Conversation) -> list[int]:
        """Encodes the inference form: the ids after which the assistant's next token comes.

        A trailing assistant message is continued; otherwise the assistant's prefix is appended.

        Raises:
            ConversationError: A role, the condition or the system text is not the template's.
        """
        condition = self.template.resolve_condition(conversation.condition, training=False)
        messages = conversation.messages
        partial = ""
        if messages and messages[-1].role == "assistant":
            partial, messages = messages[-1].content, messages[:-1]
        ids = self._opening(conversation.system, condition)
        for message in messages:
            ids += self._prefix(message.role, condition)
            ids += self._tokenizer.encode(message.content)
            ids.append(self.eot_id)
        ids += self._prefix("assistant", condition)
        if partial:
            ids += self._tokenizer.encode(partial)
        return ids

    def encode_text(self, text: str) -> list[int]:
        """Encodes text alone; never yields a control id.

        Raises:
            ConversationError: The text has a lone surrogate.
        """
        require_encodable(text, "the text")
        return self._tokenizer.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes the ids of an answer; control tokens have no text."""
        decoder = self.stream_decoder()
        return decoder.push(ids) + decoder.finish()

    def stream_decoder(self) -> StreamDecoder:
        """A new decoder for the ids of one answer as they arrive."""
        strip = self.template.strip_leading_space
        return StreamDecoder(self._token_bytes, strip_leading_space=strip)

    def _opening(self, system: str, condition: str) -> list[int]:
        ids: list[int] = [] if self.bos_id is None else [self.bos_id]
        for text in self.template.opening_texts(system, condition):
            ids += self._tokenizer.encode(text)
            ids.append(self.eot_id)
        return ids

    def _prefix(self, role: str, condition: str) -> list[int]:
        key = (role, condition)
        if key not in self._prefixes:
            prefix = self._tokenizer.encode(self.template.role_prefix(role, condition))
            if len(self._prefixes) >= 1024:  # free conditions come from requests: keep it bounded
                self._prefixes.clear()
            self._prefixes[key] = prefix
            return prefix
        return self._prefixes[key]


def load_codec(tokenizer: str | Path, template: str | Template) -> Codec:
    """Joins a template with a tokenizer file or folder.

    Args:
        tokenizer: A SentencePiece `.model`, a `tokenizer.json`, or a folder that holds one.
        template: A template, or the name or alias of a shipped one.

    Raises:
        UnknownTemplateError: No template has that name.
        TokenizerError: The tokenizer cannot be read, or cannot encode by the rule.
    """
    chosen = get_template(template) if isinstance(template, str) else template
    return Codec(chosen, load_tokenizer(tokenizer, chosen.control_tokens))


def _require_injection_safety(tokenizer: TextTokenizer, control_ids: Mapping[str, int]) -> None:
    forbidden = set(control_ids.values())
    for token in control_ids:
        for text in (token, f" {token}", f"a{token}b"):
            if forbidden.intersection(tokenizer.encode(text)):
                raise TokenizerError(
                    f"the tokenizer turns the text {text!r} into a control token, so a user could "
                    "forge one; declare it as a special added token, not as a user-defined piece"
                )
