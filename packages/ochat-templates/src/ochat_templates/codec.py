"""The encoding rule: a conversation to token ids and loss weights, and ids back to text.

Every text is encoded alone and control tokens are appended as ids, so the same message has the
same tokens wherever it stands, and no text can become a control token. The rule is that of
OpenChat's own training code (imoneoi/openchat, `ochat/config/conversation_template.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from .conversation import Conversation, Message, require_encodable
from .encoding import Encoded, Span
from .errors import ConversationError, MissingControlTokenError
from .frame import Frame
from .registry import get_template
from .streaming import StreamDecoder
from .tokenizer import TextTokenizer, load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from .fingerprint import Fingerprint
    from .special_strings import SpecialStrings
    from .template import Template


class Codec:
    """A template with a tokenizer: encodes conversations, decodes answers.

    Make one with `load_codec` or one of the `from_...` constructors. It may be shared by threads.

    Attributes:
        template: The chat format.
        control_ids: Every token that text must never become, with its id: the template's and
            the tokenizer's own.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: TextTokenizer,
        *,
        special_strings: SpecialStrings = "text",
    ) -> None:
        """Checks that the tokenizer can encode by the rule, and that no text can forge a token.

        Args:
            template: The chat format.
            tokenizer: The text encoder.
            special_strings: What happens when a message or a system text spells a control token:
                `text` encodes it as text, `warn` also tells of it, `error` refuses it.

        Raises:
            TokenizerError: The tokenizer breaks the rule; the text names the cause.
        """
        from .probing import require_exact
        from .special_strings import special_string_check

        self.template = template
        self._tokenizer = tokenizer
        self.control_ids: Mapping[str, int] = dict(tokenizer.control_ids)
        for token in template.control_tokens:
            if token not in self.control_ids:
                raise MissingControlTokenError(token, None)
        self._check = special_string_check(special_strings, self.control_ids)
        require_exact(template, tokenizer, self.token_bytes)
        self._frame = Frame(template, tokenizer)

    @classmethod
    def from_sentencepiece(
        cls,
        file: str | Path,
        template: str | Template,
        *,
        special_strings: SpecialStrings = "text",
    ) -> Codec:
        """Reads a SentencePiece `.model`, as `load_codec` does."""
        return load_codec(file, template, special_strings=special_strings)

    @classmethod
    def from_tokenizers(
        cls,
        tokenizer: str | Path | Tokenizer,
        template: str | Template,
        *,
        special_strings: SpecialStrings = "text",
    ) -> Codec:
        """Takes a `tokenizers` file or object; the object is copied and never changed.

        Raises:
            UnknownTemplateError: No template has that name.
            TokenizerError: It cannot be read, lacks a control token, or breaks the rule.
        """
        from pathlib import Path

        if isinstance(tokenizer, str | Path):
            return load_codec(tokenizer, template, special_strings=special_strings)
        from .huggingface_tokenizer import HuggingFaceTokenizer

        chosen = _template(template)
        wrapped = HuggingFaceTokenizer.wrap(tokenizer, chosen.control_tokens)
        return cls(chosen, wrapped, special_strings=special_strings)

    @classmethod
    def from_hf(
        cls,
        tokenizer: object,
        template: str | Template,
        *,
        special_strings: SpecialStrings = "text",
    ) -> Codec:
        """Takes a Transformers tokenizer, if what it encodes by still follows the rule.

        Args:
            tokenizer: What `AutoTokenizer.from_pretrained` returned; it is copied, never changed.
            template: A template, or the name or alias of one.
            special_strings: As in the constructor.

        Raises:
            UnknownTemplateError: No template has that name.
            TokenizerError: It lacks a control token or breaks the rule; the text names the cause
                (Transformers 5 rebuilds Llama's tokenizers) and the remedy.
        """
        from .transformers_tokenizer import wrap_transformers

        chosen = _template(template)
        wrapped = wrap_transformers(tokenizer, chosen.control_tokens)
        return cls(chosen, wrapped, special_strings=special_strings)

    @classmethod
    def from_callable(
        cls,
        encode: Callable[[str], Sequence[int]],
        template: str | Template,
        *,
        control_ids: Mapping[str, int],
        token_bytes: Sequence[bytes | None],
        special_strings: SpecialStrings = "text",
    ) -> Codec:
        """Takes any text encoder.

        Args:
            encode: Text to ids; what it returns for a text must not depend on earlier calls.
            template: A template, or the name or alias of one.
            control_ids: Every token that text must never become; the template's among them.
            token_bytes: The UTF-8 bytes of every id, by id; None for control tokens.
            special_strings: As in the constructor.

        Raises:
            UnknownTemplateError: No template has that name.
            TokenizerError: A control token is missing or wrong, or the encoder breaks the rule.
        """
        from .callable_tokenizer import CallableTokenizer

        chosen = _template(template)
        wrapped = CallableTokenizer(encode, control_ids, token_bytes)
        return cls(chosen, wrapped, special_strings=special_strings)

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
        """The ids at which generation ends, the end of a turn first."""
        return tuple(self.control_ids[token] for token in self.template.stop)

    @cached_property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs for every text and control id."""
        return len(self.token_bytes)

    @cached_property
    def token_bytes(self) -> Sequence[bytes | None]:
        """The UTF-8 bytes of every id, by id; None for control tokens, which have no text."""
        return self._tokenizer.token_bytes()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What must be equal wherever these tokens are used; see `Fingerprint`."""
        from .fingerprint import PROBES, take_fingerprint

        wanted = self.template.control_tokens
        return take_fingerprint(
            template=self.template.to_json(),
            token_bytes=self.token_bytes,
            control_ids={token: self.control_ids[token] for token in wanted},
            probes=[self.encode_text(text) for text in PROBES],
        )

    def encode(self, conversation: Conversation) -> Encoded:
        """Encodes the training form: every turn closed by the end-of-turn token.

        Raises:
            ConversationError: A role, the condition or the system text is not the template's, or
                a content spells a control token and the codec was told to refuse that.
        """
        contents = [message.content for message in conversation.messages]
        return self._assemble(conversation, map(self._tokenizer.encode, contents))

    def encode_batch(
        self, conversations: Iterable[Conversation], threads: int = 1
    ) -> list[Encoded]:
        """Encodes many conversations as `encode` does.

        Args:
            conversations: What to encode; the result has their order.
            threads: More than 1 lets the tokenizer library use its own threads: SentencePiece
                that many, `tokenizers` as many as `RAYON_NUM_THREADS` says, a callable none.

        Raises:
            ConversationError: As `encode`; the text names the conversation by its index.
        """
        batch = list(conversations)
        contents = [message.content for each in batch for message in each.messages]
        ids = iter(self._tokenizer.encode_batch(contents, threads))
        encoded: list[Encoded] = []
        for index, conversation in enumerate(batch):
            try:
                encoded.append(self._assemble(conversation, ids))
            except ConversationError as error:
                raise type(error)(f"conversation {index}: {error}") from error
        return encoded

    def prompt(self, conversation: Conversation) -> list[int]:
        """Encodes the inference form: the ids after which the assistant's next token comes.

        A trailing assistant message is continued; otherwise the assistant's prefix is appended.

        Raises:
            ConversationError: As `encode`.
        """
        if self._check:
            self._check(conversation)
        condition = self.template.resolve_condition(conversation.condition, training=False)
        ids, _ = self._frame.opening(conversation.system, condition)
        self._extend_prompt(ids, conversation.messages, condition)
        return ids

    def continue_from(
        self, ids: Sequence[int], messages: Sequence[Message], condition: str = ""
    ) -> list[int]:
        """What to append to a prompt and its answer so that the next answer can come.

        For an answer's ids as the model gave them, `ids + continue_from(ids, messages)` is the
        next prompt, without tokenizing a word of the history again; the cost depends on the new
        messages alone.

        Args:
            ids: A prompt followed by the answer's ids, with or without the end-of-turn token.
            messages: The new messages; a trailing assistant message is continued, as in `prompt`.
            condition: The conversation's condition, as in `prompt`.

        Returns:
            Only the new ids; `ids` is left as it is.

        Raises:
            ConversationError: As `encode`.
        """
        if self._check:
            self._check(Conversation(messages=tuple(messages)))
        resolved = self.template.resolve_condition(condition, training=False)
        end = [self.eot_id, *self._frame.suffix]
        # A stopped answer ends with the end of turn, and lacks the suffix, which nobody generates.
        closed = next(n for n in range(len(end), -1, -1) if list(ids[len(ids) - n :]) == end[:n])
        added = end[closed:]
        self._extend_prompt(added, messages, resolved)
        return added

    def count(self, conversation: Conversation, *, prompt: bool = False) -> int:
        """How many ids `encode`, or `prompt`, gives; errors as theirs."""
        return len(self.prompt(conversation) if prompt else self.encode(conversation).ids)

    def encode_text(self, text: str) -> list[int]:
        """Encodes text alone; never yields a control id.

        Raises:
            ConversationError: The text has a lone surrogate.
        """
        require_encodable(text, "the text")
        return self._tokenizer.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes the ids of an answer; control tokens have no text.

        `decode(encode_text(text)) == text` wherever the tokenizer keeps text as it is and the
        template strips the space that the tokenizer puts in front. SentencePiece writes U+2581
        for a space, so that a typed U+2581 comes back as a space.
        """
        decoder = self.stream_decoder()
        return decoder.push(ids) + decoder.finish()

    def stream_decoder(self) -> StreamDecoder:
        """A new decoder for the ids of one answer as they arrive."""
        strip = self.template.strip_leading_space
        return StreamDecoder(self.token_bytes, strip_leading_space=strip)

    def explain(self, encoded: Encoded, *, color: bool = False) -> str:
        """One line a token: position, id, text, loss weight and origin.

        Args:
            encoded: What this codec's `encode` returned.
            color: Whether to colour trained and control tokens by ANSI codes.
        """
        from .explain import explain_tokens

        return explain_tokens(encoded, self.token_bytes, self.control_ids, color=color)

    def _assemble(self, conversation: Conversation, contents: Iterable[Sequence[int]]) -> Encoded:
        """Puts the frame around the encoded contents, of which it takes one a message."""
        if self._check:
            self._check(conversation)
        template = self.template
        condition = template.resolve_condition(conversation.condition, training=True)
        ids, marks = self._frame.opening(conversation.system, condition)
        eot, suffix = self.eot_id, self._frame.suffix
        spans: list[Span] = []
        for index, (message, content) in enumerate(
            zip(conversation.messages, contents, strict=False)
        ):
            marks.append(("prefix", len(ids), index))
            ids += self._frame.prefix(message.role, condition)
            start = len(ids)
            marks.append(("content", start, index))
            ids += content
            marks.append(("eot", len(ids), index))
            ids.append(eot)
            weight = message.weight
            if weight is None:
                weight = template.default_weight(message.role)
            if weight:
                spans.append(Span(start=start, end=len(ids), weight=weight))
            if suffix:
                marks.append(("suffix", len(ids), index))
                ids += suffix
        return Encoded(ids=ids, spans=tuple(spans), marks=tuple(marks))

    def _extend_prompt(self, ids: list[int], messages: Sequence[Message], condition: str) -> None:
        partial = ""
        if messages and messages[-1].role == "assistant":
            partial, messages = messages[-1].content, messages[:-1]
        for message in messages:
            ids += self._frame.prefix(message.role, condition)
            ids += self._tokenizer.encode(message.content)
            ids.append(self.eot_id)
            ids += self._frame.suffix
        ids += self._frame.prefix("assistant", condition)
        if partial:
            ids += self._tokenizer.encode(partial)


def load_codec(
    tokenizer: str | Path,
    template: str | Template,
    *,
    special_strings: SpecialStrings = "text",
) -> Codec:
    """Joins a template with a tokenizer file or folder.

    Args:
        tokenizer: A SentencePiece `.model`, a `tokenizer.json`, or a folder that holds one.
        template: A template, the name or alias of one, or the path of a template file.
        special_strings: What happens when a message or a system text spells a control token:
            `text` encodes it as text, `warn` also tells of it, `error` refuses it.

    Raises:
        UnknownTemplateError: No template has that name.
        TokenizerError: The tokenizer cannot be read, or cannot encode by the rule.
    """
    chosen = _template(template)
    loaded = load_tokenizer(tokenizer, chosen.control_tokens)
    return Codec(chosen, loaded, special_strings=special_strings)


def _template(template: str | Template) -> Template:
    return get_template(template) if isinstance(template, str) else template
