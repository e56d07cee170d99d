"""What a tokenizer must be able to do, and which file of a folder is the tokenizer.

The protocol separates text from control tokens: `encode` sees only text and can never return
the id of a control token, whatever the text spells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from .errors import TokenizerError

if TYPE_CHECKING:
    from pathlib import Path

SENTENCEPIECE_FILE = "tokenizer.model"
TOKENIZERS_FILE = "tokenizer.json"
ADDED_TOKENS_FILE = "added_tokens.json"
# What SentencePiece writes for a character that its vocabulary lacks.
UNKNOWN_TEXT = " \u2047 ".encode()


class TextTokenizer(Protocol):
    """Text to ids and back, with a separate table for control tokens."""

    @property
    def control_ids(self) -> Mapping[str, int]:
        """Every token that text must never become, with its id."""
        ...

    def encode(self, text: str) -> list[int]:
        """Encodes text alone; control tokens that it spells are ordinary text."""
        ...

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """Encodes each text alone, in that many threads where the library has its own."""
        ...

    def token_bytes(self) -> Sequence[bytes | None]:
        """The UTF-8 bytes of every id; None for control tokens, which have no text."""
        ...


def load_tokenizer(path: str | Path, control_tokens: Sequence[str]) -> TextTokenizer:
    """Opens a SentencePiece model, a `tokenizers` file, or a folder that holds one.

    A bare SentencePiece file lacks the control tokens of a chat format: those take the ids after
    its last piece, in the given order. In a folder, what `tokenizer.json` or `added_tokens.json`
    declares decides, and the text is encoded by `tokenizer.model` where there is one.

    Raises:
        TokenizerError: Nothing readable is there, or a declared vocabulary lacks a control token.
    """
    from pathlib import Path

    place = Path(path)
    if not place.exists():
        raise TokenizerError(
            f"no tokenizer at {place}; give a SentencePiece .model, a tokenizer.json, or a folder "
            "with one of them"
        )
    if place.is_dir():
        return _load_folder(place, control_tokens)
    if place.suffix == ".json":
        return _open_tokenizers(place, control_tokens)
    return _open_sentencepiece(place, control_tokens, None)


def _load_folder(folder: Path, control_tokens: Sequence[str]) -> TextTokenizer:
    model, tokenizers = folder / SENTENCEPIECE_FILE, folder / TOKENIZERS_FILE
    if model.exists():
        return _open_sentencepiece(model, control_tokens, _declared_ids(folder))
    if tokenizers.exists():
        return _open_tokenizers(tokenizers, control_tokens)
    raise TokenizerError(
        f"{folder} holds neither {SENTENCEPIECE_FILE} nor {TOKENIZERS_FILE}; "
        "copy the tokenizer file of the base model there"
    )


def _declared_ids(folder: Path) -> Mapping[str, int] | None:
    """Ids that the folder's Hugging Face files give to tokens; None where it has no such file."""
    import json

    declared: dict[str, int] = {}
    found = False
    for name in (TOKENIZERS_FILE, ADDED_TOKENS_FILE):
        file = folder / name
        if not file.exists():
            continue
        found = True
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            if name == ADDED_TOKENS_FILE:
                declared |= data
            else:
                declared |= {entry["content"]: entry["id"] for entry in data["added_tokens"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TokenizerError(
                f"{file} is no tokenizer file ({error}); copy it again from the base model"
            ) from error
    return declared if found else None


def _open_sentencepiece(
    file: Path, control_tokens: Sequence[str], declared: Mapping[str, int] | None
) -> TextTokenizer:
    try:
        from .sentencepiece_tokenizer import SentencePieceTokenizer
    except ImportError as error:
        raise _missing_extra(file, "sentencepiece") from error
    return SentencePieceTokenizer.load(file, control_tokens, declared)


def _open_tokenizers(file: Path, control_tokens: Sequence[str]) -> TextTokenizer:
    try:
        from .huggingface_tokenizer import HuggingFaceTokenizer
    except ImportError as error:
        raise _missing_extra(file, "tokenizers") from error
    return HuggingFaceTokenizer.load(file, control_tokens)


def _missing_extra(file: Path, extra: str) -> TokenizerError:
    return TokenizerError(
        f"reading {file} needs the package {extra}: pip install 'ochat-templates[{extra}]'"
    )
