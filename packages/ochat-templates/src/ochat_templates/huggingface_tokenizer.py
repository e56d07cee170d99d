"""A `tokenizers` file (tokenizer.json) as a text tokenizer.

The text encoder is a copy of the tokenizer from which the special tokens, the post-processor and
truncation are removed, so that no flag can bring them back: `encode_special_tokens` is mutable
state that Transformers resets. Non-special added tokens (runs of spaces, say) stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from .errors import MissingControlTokenError, TokenizerError
from .tokenizer import UNKNOWN_TEXT


class HuggingFaceTokenizer:
    """Encodes text through `tokenizers`, without any special token."""

    def __init__(self, tokenizer: Tokenizer, control_ids: Mapping[str, int]) -> None:
        """Takes a text-only copy of `tokenizer`; `control_ids` are the chat format's tokens."""
        specification = json.loads(tokenizer.to_str())
        added = specification["added_tokens"]
        self._special = {entry["content"]: entry["id"] for entry in added if entry["special"]}
        self._special |= control_ids
        removed = frozenset(self._special)
        self._byte_level = _is_byte_level(specification)
        self._unknown: int | None = None
        unknown = specification["model"].get("unk_token")
        if not self._byte_level and unknown not in control_ids:
            # Text that the vocabulary lacks may well become it, as in SentencePiece.
            self._special.pop(unknown, None)
            self._unknown = tokenizer.token_to_id(unknown) if unknown else None
        self._plain_added = {
            entry["id"]: entry["content"] for entry in added if entry["content"] not in removed
        }
        specification["added_tokens"] = [
            entry for entry in added if entry["content"] not in removed
        ]
        specification |= {"post_processor": None, "truncation": None, "padding": None}
        self._text = Tokenizer.from_str(json.dumps(specification))

    @classmethod
    def load(cls, file: Path, control_tokens: Sequence[str]) -> HuggingFaceTokenizer:
        """Opens a tokenizer.json.

        Raises:
            TokenizerError: The file is no tokenizer, or it lacks one of the control tokens.
        """
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception for every fault
            raise TokenizerError(
                f"{file} is not a tokenizers file ({error}); copy it again from the base model"
            ) from error
        return cls.wrap(tokenizer, control_tokens, file)

    @classmethod
    def wrap(
        cls, tokenizer: Tokenizer, control_tokens: Sequence[str], origin: Path | None = None
    ) -> HuggingFaceTokenizer:
        """Takes an opened tokenizer, which is copied; `origin` is its file, for errors.

        Raises:
            MissingControlTokenError: It lacks one of the control tokens.
            TokenizerError: Its decoder is of a kind whose bytes are not known.
        """
        ids: dict[str, int] = {}
        for token in control_tokens:
            token_id = tokenizer.token_to_id(token)
            if token_id is None:
                raise MissingControlTokenError(token, origin)
            ids[token] = token_id
        return cls(tokenizer, ids)

    @property
    def control_ids(self) -> Mapping[str, int]:
        """Every special token of the file, with the chat format's."""
        return self._special

    def encode(self, text: str) -> list[int]:
        """Encodes text alone."""
        return self._text.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """Encodes each text alone; above one thread, in the library's own pool."""
        if threads <= 1:
            return [self.encode(text) for text in texts]
        batch = self._text.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def token_bytes(self) -> Sequence[bytes | None]:
        """The bytes of every id, by the file's own scheme (byte level, or SentencePiece's)."""
        vocabulary = self._text.get_vocab(with_added_tokens=False)
        highest = max([*vocabulary.values(), *self._special.values(), *self._plain_added])
        table: list[bytes | None] = [None] * (highest + 1)
        scheme = _byte_level_bytes if self._byte_level else _sentencepiece_bytes
        # Added tokens may stand in the vocabulary too, spelt outside the scheme's alphabet.
        added = {*self._special.values(), *self._plain_added}
        for piece, piece_id in vocabulary.items():
            if piece_id not in added:
                table[piece_id] = scheme(piece)
        for piece_id, content in self._plain_added.items():
            table[piece_id] = content.encode() if self._byte_level else scheme(content)
        if self._unknown is not None:
            table[self._unknown] = UNKNOWN_TEXT
        return table


def _is_byte_level(specification: Mapping[str, object]) -> bool:
    """Whether the file's decoder is GPT-2's byte alphabet; a Metaspace or ▁ scheme otherwise."""
    decoder = json.dumps(specification.get("decoder"))
    if '"ByteLevel"' in decoder:
        return True
    if '"Metaspace"' in decoder or '"Replace"' in decoder:
        return False
    raise TokenizerError(
        "the tokenizer.json has a decoder that is neither byte level nor SentencePiece's; "
        "use the tokenizer of a model that this package lists"
    )


def _sentencepiece_bytes(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("\u2581", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's byte alphabet: printable Latin-1 stands for itself, the rest follows U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return alphabet | {chr(0x100 + index): byte for index, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _byte_level_bytes(piece: str) -> bytes:
    return bytes(_ALPHABET[character] for character in piece)
