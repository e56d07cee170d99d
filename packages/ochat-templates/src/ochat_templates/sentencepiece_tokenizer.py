"""A SentencePiece model as a text tokenizer: the reference backend of the encoding rule.

Knows nothing of `tokenizers` files; `conversion` turns one into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import sentencepiece

from .errors import MissingControlTokenError, TokenizerError
from .sentencepiece_model import with_control_pieces
from .tokenizer import UNKNOWN_TEXT
from .word_cache import word_cache

# No vocabulary comes near it; a larger id is a damaged file, and would take as much memory.
_MOST_IDS = 1 << 24
SPACE = "\u2581"  # SentencePiece writes a space as this character


class SentencePieceTokenizer:
    """Encodes text as `SentencePieceProcessor.encode` does, dummy prefix included."""

    def __init__(
        self, processor: sentencepiece.SentencePieceProcessor, control_ids: Mapping[str, int]
    ) -> None:
        """Wraps an opened model; `control_ids` holds the control tokens of the chat format."""
        self.processor = processor
        self._control_ids = dict(control_ids)
        words = word_cache(processor)
        # A new cache is empty, and as a container that means false.
        self._encode: Callable[[str], list[int]] = (
            processor.encode if words is None else words.encode
        )

    @classmethod
    def load(
        cls, file: Path, control_tokens: Sequence[str], declared: Mapping[str, int] | None
    ) -> SentencePieceTokenizer:
        """Opens a `.model` file; `declared` are the ids that a folder gives to added tokens.

        Raises:
            TokenizerError: The file is no SentencePiece model, or a declared vocabulary lacks
                one of the control tokens.
        """
        processor = _without_forgeries(open_processor(file), control_tokens)
        return cls(processor, _control_ids(processor, file.parent, control_tokens, declared))

    @classmethod
    def wrap(
        cls,
        processor: sentencepiece.SentencePieceProcessor,
        control_tokens: Sequence[str],
        declared: Mapping[str, int],
    ) -> SentencePieceTokenizer:
        """Takes an opened model with the ids of its added tokens; errors as `load`."""
        safe = _without_forgeries(processor, control_tokens)
        return cls(safe, _control_ids(safe, None, control_tokens, declared))

    @property
    def control_ids(self) -> Mapping[str, int]:
        """The model's own control pieces and the chat format's."""
        processor = self.processor
        own = {
            processor.id_to_piece(i): i
            for i in range(processor.get_piece_size())
            if processor.is_control(i)
        }
        return own | self._control_ids

    def encode(self, text: str) -> list[int]:
        """Encodes text alone, with the model's own dummy prefix."""
        return self._encode(text)

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """Encodes each text alone, in SentencePiece's own threads."""
        if threads <= 1:
            return [self._encode(text) for text in texts]
        return self.processor.encode(list(texts), num_threads=threads)

    def token_bytes(self) -> Sequence[bytes | None]:
        """The bytes of every id; an unknown piece is written as U+2047, as SentencePiece does."""
        size = self.processor.get_piece_size()
        controls = frozenset(self._control_ids.values())
        table = [None if i in controls else self._bytes(i) for i in range(size)]
        highest = max(self._control_ids.values(), default=-1)
        table += [None] * (highest + 1 - len(table))
        return table

    def _bytes(self, piece_id: int) -> bytes | None:
        processor = self.processor
        if processor.is_control(piece_id):
            return None
        piece = processor.id_to_piece(piece_id)
        if processor.is_byte(piece_id):
            return bytes([int(piece[3:-1], 16)])
        if processor.is_unknown(piece_id):
            return UNKNOWN_TEXT
        return piece.replace(SPACE, " ").encode()


def open_processor(file: Path) -> sentencepiece.SentencePieceProcessor:
    """Opens a SentencePiece model file.

    Raises:
        TokenizerError: The file cannot be read or is no SentencePiece model.
    """
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (OSError, RuntimeError) as error:
        raise TokenizerError(
            f"{file} is not a SentencePiece model; give the tokenizer.model of the base model"
        ) from error


def _without_forgeries(
    processor: sentencepiece.SentencePieceProcessor, control_tokens: Sequence[str]
) -> sentencepiece.SentencePieceProcessor:
    """The model, changed in memory so that no user-defined piece spells a control token.

    Gemma's files declare their turn markers as user-defined pieces, which text can become.
    """
    ids = {token: processor.piece_to_id(token) for token in control_tokens}
    if all(processor.is_unknown(i) or processor.is_control(i) for i in ids.values()):
        return processor
    model = with_control_pieces(processor.serialized_model_proto(), control_tokens)
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def _control_ids(
    processor: sentencepiece.SentencePieceProcessor,
    origin: Path | None,
    control_tokens: Sequence[str],
    declared: Mapping[str, int] | None,
) -> dict[str, int]:
    ids: dict[str, int] = {}
    following = processor.get_piece_size()
    for token in control_tokens:
        own = processor.piece_to_id(token)
        if declared is not None and token in declared:
            ids[token] = declared[token]
        elif not processor.is_unknown(own):
            ids[token] = own
        elif declared is None:
            ids[token], following = following, following + 1
        else:
            raise MissingControlTokenError(token, origin)
    _require_free_ids(processor, origin, ids)
    return ids


def _require_free_ids(
    processor: sentencepiece.SentencePieceProcessor, origin: Path | None, ids: Mapping[str, int]
) -> None:
    """Refuses declared ids that are no ids, or that text or another token already has."""
    size = processor.get_piece_size()
    for token, token_id in ids.items():
        if not isinstance(token_id, int) or not 0 <= token_id < _MOST_IDS:
            problem = "which is no id"
        elif token_id < size and processor.id_to_piece(token_id) != token:
            problem = f"which is the piece {processor.id_to_piece(token_id)!r}"
        elif list(ids.values()).count(token_id) > 1:
            problem = "as another control token has"
        else:
            continue
        raise TokenizerError(
            f"{origin or 'the tokenizer'} gives the control token {token!r} the id {token_id!r}, "
            f"{problem}; "
            "copy tokenizer.json and added_tokens.json again from the base model"
        )
