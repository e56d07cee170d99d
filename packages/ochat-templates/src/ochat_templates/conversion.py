"""A SentencePiece model as a `tokenizers` tokenizer that gives the same ids.

Transformers 5 orders the merges of such a conversion by piece id; SentencePiece merges by score.
The two differ for runs of spaces, hence for all indented code, so the order here is by score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import TokenizerError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer

_SPACE = "\u2581"


def convert_sentencepiece(path: str | Path, control_tokens: Sequence[str]) -> Tokenizer:
    """Builds the `tokenizers` equivalent of a SentencePiece BPE model.

    Args:
        path: The `.model` file; byte fallback and the dummy prefix are expected, as in Llama 2.
        control_tokens: Control tokens of the chat format; those the model lacks are added after
            its last piece, in this order.

    Returns:
        A tokenizer whose `save` writes a `tokenizer.json`.

    Raises:
        TokenizerError: The file is no SentencePiece model, or a needed package is missing.
    """
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, normalizers
        from tokenizers.models import BPE

        from .sentencepiece_tokenizer import open_processor
    except ImportError as error:
        raise TokenizerError(
            f"converting {path} needs two packages: "
            "pip install 'ochat-templates[sentencepiece,tokenizers]'"
        ) from error
    processor = open_processor(Path(path))
    size = processor.get_piece_size()
    vocabulary = {processor.id_to_piece(i): i for i in range(size)}
    unknown = processor.id_to_piece(processor.unk_id())
    bpe = BPE(
        vocab=vocabulary,
        merges=_merges(processor, vocabulary),
        fuse_unk=True,
        byte_fallback=True,
        unk_token=unknown,
    )
    tokenizer = Tokenizer(bpe)
    # Spaces become U+2581 and every text gets one in front: SentencePiece's dummy prefix.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(_SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    own = [p for p, i in vocabulary.items() if processor.is_control(i) or processor.is_unknown(i)]
    special = [*own, *(token for token in control_tokens if token not in own)]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    return tokenizer


def _merges(processor: SentencePieceProcessor, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, best score first, as SentencePiece joins them."""
    scored: list[tuple[float, str, str]] = []
    for piece, piece_id in vocabulary.items():
        if (
            processor.is_byte(piece_id)
            or processor.is_control(piece_id)
            or processor.is_unknown(piece_id)
        ):
            continue
        score = processor.get_score(piece_id)
        pairs = [
            (piece[:cut], piece[cut:])
            for cut in range(1, len(piece))
            if piece[:cut] in vocabulary and piece[cut:] in vocabulary
        ]
        pairs.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        scored += [(score, left, right) for left, right in pairs]
    scored.sort(key=lambda merge: merge[0], reverse=True)
    return [(left, right) for _, left, right in scored]
