"""Writes the tokenizer of a model folder into another one, so that it gives the same tokens.

What a tokenizer does with text is defined in `ochat_templates`; the weights beside it are the
business of `export`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_templates import TemplatesError, convert_sentencepiece, load_codec

from .errors import ModelError, OutputError, first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ochat_templates import Codec

_SENTENCEPIECE, _TOKENIZERS, _ADDED = "tokenizer.model", "tokenizer.json", "added_tokens.json"
_SETTINGS = "tokenizer_config.json"
_FILES = (
    _SENTENCEPIECE,
    _TOKENIZERS,
    _ADDED,
    _SETTINGS,
    "special_tokens_map.json",
    "chat_template.jinja",
)


def write_tokenizer(source: Path, target: Path, codec: Codec, *, context_length: int) -> None:
    """Copies the tokenizer of a folder; a SentencePiece model gets a `tokenizer.json` beside it.

    A `tokenizer.json` that is there already is replaced only where it gives other tokens than the
    SentencePiece model, and a missing one is left out where it could not give the declared ids.

    Args:
        source: folder with the tokenizer's files.
        target: existing folder.
        codec: the tokenizer of `source`, as `load_codec` reads the folder.
        context_length: longest sequence, for programs that read `tokenizer_config.json`.
    """
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    written = target / _TOKENIZERS
    converted = None
    if (target / _SENTENCEPIECE).is_file() and _difference(written, codec) is not None:
        converted = _convert(target, codec)
    if converted is not None:
        # Its own `save` would turn a full disk into a bare Exception.
        written.write_text(converted.to_str(pretty=True), encoding="utf-8")
    if converted is not None or (written.is_file() and not (target / _SETTINGS).is_file()):
        _write_settings(target / _SETTINGS, codec, context_length)


def require_same_tokens(folder: Path, codec: Codec) -> None:
    """Refuses a folder whose tokenizer files give other tokens than `codec`.

    Raises:
        ModelError: names the file or folder, and the first difference.
    """
    for place in (folder, folder / _TOKENIZERS):
        difference = _difference(place, codec) if place.exists() else None
        if difference is not None:
            raise ModelError(
                f"{place} does not give the tokens of the dataset ({difference}); copy all "
                "tokenizer files from one and the same model"
            )


def rehearse_tokenizer(source: Path, codec: Codec) -> None:
    """Writes the tokenizer of a folder to a temporary place and compares it, before any training.

    Raises:
        ModelError: a model with this tokenizer could not be written.
        OutputError: there is no room for temporary files.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="ochat-train-") as place:
            write_tokenizer(source, Path(place), codec, context_length=1)
            require_same_tokens(Path(place), codec)
    except ModelError as error:
        raise ModelError(
            f"the tokenizer of {source} cannot be written beside a trained model: {error}"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot try out the tokenizer of {source}: {error}") from error


def _difference(place: Path, codec: Codec) -> str | None:
    """What a tokenizer file or folder does otherwise than `codec`; None if nothing."""
    try:
        other = load_codec(place, codec.template)
        codec.fingerprint.require_equal(other.fingerprint, what=place.name)
    except TemplatesError as error:
        return first_line(error)
    return None


def _convert(folder: Path, codec: Codec) -> Tokenizer | None:
    """The SentencePiece model of a folder with all declared tokens; None if an id would move."""
    wanted = {**_declared(folder), **codec.control_ids}
    tokenizer = convert_sentencepiece(
        folder / _SENTENCEPIECE, sorted(wanted, key=wanted.__getitem__)
    )
    # The conversion numbers consecutively; a gap in the declared ids shifts what follows it.
    exact = all(tokenizer.token_to_id(token) == token_id for token, token_id in wanted.items())
    return tokenizer if exact else None


def _declared(folder: Path) -> dict[str, int]:
    """The ids that a folder, which `load_codec` has read, gives to added tokens."""
    declared: dict[str, int] = {}
    if (folder / _TOKENIZERS).is_file():
        entries = json.loads((folder / _TOKENIZERS).read_text(encoding="utf-8"))["added_tokens"]
        declared = {entry["content"]: entry["id"] for entry in entries}
    if (folder / _ADDED).is_file():
        declared |= json.loads((folder / _ADDED).read_text(encoding="utf-8"))
    return declared


def _write_settings(file: Path, codec: Codec, context_length: int) -> None:
    """Says how to read the `tokenizer.json` beside it; other settings of the folder stay."""
    own = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    settings = {
        **own,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": codec.template.bos,
        "eos_token": codec.template.eot,
        "pad_token": codec.template.eot,
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }
    file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
