"""A SentencePiece model as a `tokenizers` tokenizer that gives the same ids.

Transformers 5 orders the merges of such a conversion by piece id; SentencePiece merges by score.
The two differ for runs of spaces, hence for all indented code, so the order here is by score.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import TokenizerError
from .sentencepiece_model import ModelType, PieceKind, SentencePieceModel, read_model

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer

_SPACE = "\u2581"
# Made of pieces of the vocabulary itself, so that every kind of merge is met.
_CHECKED_TEXTS = 400


def convert_sentencepiece(path: str | Path, control_tokens: Sequence[str]) -> Tokenizer:
    """Builds the `tokenizers` equivalent of a SentencePiece BPE model.

    The result is held against SentencePiece on several hundred texts before it is returned.

    Args:
        path: The `.model` file.
        control_tokens: Control tokens of the chat format; those the model lacks are added after
            its last piece, in this order.

    Returns:
        A tokenizer whose `save` writes a `tokenizer.json`.

    Raises:
        TokenizerError: The file is no SentencePiece model, `tokenizers` cannot encode as it does,
            or a needed package is missing.
    """
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, normalizers
        from tokenizers.models import BPE

        from .sentencepiece_tokenizer import SentencePieceTokenizer
    except ImportError as error:
        raise TokenizerError(
            f"converting {path} needs two packages: "
            "pip install 'ochat-templates[sentencepiece,tokenizers]'"
        ) from error
    reference = SentencePieceTokenizer.load(Path(path), control_tokens, None)
    processor = reference.processor
    model = read_model(processor.serialized_model_proto())
    _require_convertible(model, path)
    vocabulary = {piece.text: index for index, piece in enumerate(model.pieces)}
    bpe = BPE(
        vocab=vocabulary,
        merges=_merges(model),
        fuse_unk=True,
        byte_fallback=model.byte_fallback,
        unk_token=processor.id_to_piece(processor.unk_id()),
    )
    tokenizer = Tokenizer(bpe)
    # Spaces become U+2581 and, with the dummy prefix, every text gets one in front.
    steps: list[normalizers.Normalizer] = [normalizers.Replace(" ", _SPACE)]
    unspaced: list[decoders.Decoder] = []
    if model.dummy_prefix:
        steps.insert(0, normalizers.Prepend(_SPACE))
        unspaced.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *unspaced]
    )
    special = [p.text for p in model.pieces if p.kind in (PieceKind.CONTROL, PieceKind.UNKNOWN)]
    special += [token for token in control_tokens if token not in special]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    # SentencePiece looks for user-defined pieces in the normalised text, before any merge.
    defined = [p.text for p in model.pieces if p.kind is PieceKind.USER_DEFINED]
    tokenizer.add_tokens([AddedToken(text, normalized=True, special=False) for text in defined])
    _require_equal(tokenizer, control_tokens, processor, model, path)
    return tokenizer


def _require_convertible(model: SentencePieceModel, path: str | Path) -> None:
    """Refuses what `tokenizers` has no equal for."""
    kinds = {piece.kind for piece in model.pieces}
    if model.model_type is not ModelType.BPE:
        problem = f"is a {model.model_type.name} model, and only BPE merges can be carried over"
    elif model.has_charsmap:
        problem = "normalises its text by a character map"
    elif model.remove_spaces:
        problem = "removes leading, trailing and repeated spaces"
    elif model.space_as_suffix or not model.escape_spaces:
        problem = "does not mark spaces in front of words"
    elif PieceKind.UNUSED in kinds:
        problem = "has unused pieces, which SentencePiece cuts again after merging"
    elif PieceKind.USER_DEFINED in kinds and model.dummy_prefix:
        problem = "has user-defined pieces together with a dummy prefix"
    else:
        return
    raise TokenizerError(
        f"{path} cannot be converted exactly: it {problem}; use the .model file itself"
    )


def _merges(model: SentencePieceModel) -> list[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, best score first, as SentencePiece joins them.

    Pieces of one score (runs of spaces) SentencePiece joins from the left, so that the first run
    grows to the longest before the next one starts; here the longer join goes first to that end.
    """
    scored: list[tuple[float, str, str]] = []
    normal = {piece.text for piece in model.pieces if piece.kind is PieceKind.NORMAL}
    for piece in model.pieces:
        if piece.kind is not PieceKind.NORMAL:
            continue
        text = piece.text
        pairs = [
            (text[:cut], text[cut:])
            for cut in range(1, len(text))
            if text[:cut] in normal and text[cut:] in normal
        ]
        scored += [(piece.score, left, right) for left, right in pairs]
    scored.sort(key=lambda merge: (-merge[0], -len(merge[1] + merge[2]), -len(merge[1])))
    return [(left, right) for _, left, right in scored]


def _require_equal(
    tokenizer: Tokenizer,
    control_tokens: Sequence[str],
    processor: SentencePieceProcessor,
    model: SentencePieceModel,
    path: str | Path,
) -> None:
    from .fingerprint import PROBES
    from .huggingface_tokenizer import HuggingFaceTokenizer
    from .probing import KEPT_TEXTS

    converted = HuggingFaceTokenizer.wrap(tokenizer, control_tokens)
    for text in (*KEPT_TEXTS, *PROBES, *_texts_of(model)):
        theirs, ours = processor.encode(text), converted.encode(text)
        if theirs != ours:
            raise TokenizerError(
                f"{path} cannot be converted exactly: {text!r} is {theirs} in SentencePiece and "
                f"{ours} after conversion; use the .model file itself"
            )


def _texts_of(model: SentencePieceModel) -> Iterator[str]:
    """Seeded texts put together from the vocabulary's own pieces, with runs of each."""
    rng = random.Random(0)  # noqa: S311 - a seed, not a secret
    pieces = [
        piece.text.replace(_SPACE, " ")
        for piece in model.pieces
        if piece.kind in (PieceKind.NORMAL, PieceKind.USER_DEFINED)
    ]
    for index in range(_CHECKED_TEXTS if pieces else 0):
        if index % 4:
            yield "".join(rng.choices(pieces, k=rng.randint(1, 12)))
        else:
            yield rng.choice(pieces) * rng.randint(2, 40)
