"""The parts of a SentencePiece `.model` file that its own library does not show or change.

The file is a protocol buffer, whose fields SentencePiece's `sentencepiece_model.proto` numbers.
Whatever is not named here is kept byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from .errors import TokenizerError

# Fields of ModelProto, and of the messages inside it.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _SPACE_AS_SUFFIX, _BYTE_FALLBACK = 3, 24, 35
_CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5
# Wire types of the protocol buffer encoding.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class PieceKind(IntEnum):
    """What a piece of the vocabulary is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class ModelType(IntEnum):
    """How a model cuts text into pieces."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPiece:
    """A piece of the vocabulary; its place in the file is its id."""

    text: str
    score: float
    kind: PieceKind = PieceKind.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePieceModel:
    """What a `.model` file says.

    Attributes:
        pieces: The vocabulary by id.
        model_type: How it cuts text.
        byte_fallback: Whether characters that it lacks become their UTF-8 bytes.
        has_charsmap: Whether the text is normalised (NFKC, say) before it is cut.
        dummy_prefix: Whether a space is put in front of every text.
        remove_spaces: Whether leading, trailing and repeated spaces are removed.
        escape_spaces: Whether a space is written as U+2581.
        space_as_suffix: Whether U+2581 ends a word instead of opening it.
    """

    pieces: tuple[ModelPiece, ...]
    model_type: ModelType
    byte_fallback: bool
    has_charsmap: bool
    dummy_prefix: bool
    remove_spaces: bool
    escape_spaces: bool
    space_as_suffix: bool


def read_model(data: bytes) -> SentencePieceModel:
    """Reads the bytes of a `.model` file.

    Raises:
        TokenizerError: They are no SentencePiece model.
    """
    pieces: list[ModelPiece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    with _damage_told():
        for number, value, _ in _fields(data):
            if number == _PIECES:
                pieces.append(_piece(_message(value)))
            elif number == _TRAINER:
                trainer |= {n: v for n, v, _ in _fields(_message(value))}
            elif number == _NORMALIZER:
                normalizer |= {n: v for n, v, _ in _fields(_message(value))}
        return SentencePieceModel(
            pieces=tuple(pieces),
            model_type=ModelType(_number(trainer, _MODEL_TYPE, ModelType.UNIGRAM)),
            byte_fallback=bool(_number(trainer, _BYTE_FALLBACK, 0)),
            has_charsmap=bool(normalizer.get(_CHARSMAP, b"")),
            dummy_prefix=bool(_number(normalizer, _DUMMY_PREFIX, 1)),
            remove_spaces=bool(_number(normalizer, _REMOVE_SPACES, 1)),
            escape_spaces=bool(_number(normalizer, _ESCAPE_SPACES, 1)),
            space_as_suffix=bool(_number(trainer, _SPACE_AS_SUFFIX, 0)),
        )


def with_control_pieces(data: bytes, names: Collection[str]) -> bytes:
    """The same model in which user-defined pieces of these names are control pieces.

    SentencePiece turns text that spells a user-defined piece into its id; a control piece keeps
    its id, but no text becomes it.

    Raises:
        TokenizerError: The bytes are no SentencePiece model.
    """
    changed = bytearray()
    with _damage_told():
        for number, value, raw in _fields(data):
            if number == _PIECES:
                piece = _piece(_message(value))
                if piece.kind is PieceKind.USER_DEFINED and piece.text in names:
                    # A later field of a message overrides an earlier one of the same number.
                    kind = _varint(_KIND << 3 | _VARINT) + _varint(PieceKind.CONTROL)
                    raw = _length_delimited(_PIECES, _message(value) + kind)
            changed += raw
    return bytes(changed)


def with_pieces_inserted(data: bytes, position: int, pieces: Sequence[ModelPiece]) -> bytes:
    """The same model with further pieces from id `position` on; later ids move up.

    Where the model has no piece of that id, they follow its last one.

    Raises:
        TokenizerError: The bytes are no SentencePiece model.
    """
    inserted = b"".join(_written(piece) for piece in pieces)
    changed = bytearray()
    met = 0
    with _damage_told():
        for number, _, raw in _fields(data):
            if number == _PIECES:
                if met == position:
                    changed += inserted
                met += 1
            changed += raw
    # Pieces may stand after the other fields: their order among themselves is all that counts.
    return bytes(changed if met > position else changed + inserted)


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (ValueError, struct.error) as error:
        raise TokenizerError(
            f"not a SentencePiece model ({error}); copy the tokenizer.model again"
        ) from error


def _written(piece: ModelPiece) -> bytes:
    body = _length_delimited(_TEXT, piece.text.encode())
    body += _varint(_SCORE << 3 | _FIXED32) + struct.pack("<f", piece.score)
    body += _varint(_KIND << 3 | _VARINT) + _varint(piece.kind)
    return _length_delimited(_PIECES, body)


def _piece(data: bytes) -> ModelPiece:
    found = {number: value for number, value, _ in _fields(data)}
    text, score = found.get(_TEXT, b""), found.get(_SCORE, b"\0\0\0\0")
    return ModelPiece(
        text=_message(text).decode(),
        score=struct.unpack("<f", _message(score))[0],
        kind=PieceKind(_number(found, _KIND, PieceKind.NORMAL)),
    )


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _number(found: dict[int, int | bytes], number: int, default: int) -> int:
    value = found.get(number, default)
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes, bytes]]:
    """Each field's number, its value, and its bytes with the tag; numbers are not sign-extended."""
    position = 0
    while position < len(data):
        start = position
        tag, position = _read_varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = _read_varint(data, position)
            yield tag >> 3, value, data[start:position]
            continue
        if wire == _BYTES:
            length, position = _read_varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire} at byte {start}")
        if position + length > len(data):
            raise ValueError(f"the field at byte {start} is cut off")
        yield tag >> 3, data[position : position + length], data[start : position + length]
        position += length


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if position + index >= len(data):
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError(f"no number at byte {position}")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _length_delimited(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(body)) + body
