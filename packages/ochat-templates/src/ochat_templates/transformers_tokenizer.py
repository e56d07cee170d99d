"""A Transformers tokenizer as a text tokenizer: what it encodes by, without its own layers.

Transformers is not imported: an object brings its own backend, a `tokenizers.Tokenizer` or a
SentencePiece processor. Whether that still follows the rule is checked by `probing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from .errors import TokenizerError

if TYPE_CHECKING:
    from .tokenizer import TextTokenizer


def wrap_transformers(tokenizer: object, control_tokens: Sequence[str]) -> TextTokenizer:
    """Takes the backend out of what `AutoTokenizer.from_pretrained` returned.

    Raises:
        TokenizerError: It has no backend that is known, or it lacks a control token.
    """
    theirs = cast(Any, tokenizer)  # Transformers' own class cannot be named without importing it
    backend = getattr(theirs, "backend_tokenizer", None)
    if backend is not None:
        from .huggingface_tokenizer import HuggingFaceTokenizer

        return HuggingFaceTokenizer.wrap(backend, control_tokens)
    processor = getattr(theirs, "sp_model", None)
    if processor is not None:
        from .sentencepiece_tokenizer import SentencePieceTokenizer

        return SentencePieceTokenizer.wrap(
            processor, control_tokens, dict(theirs.get_added_vocab())
        )
    raise TokenizerError(
        f"a {type(tokenizer).__name__} has neither a tokenizers nor a SentencePiece backend; "
        "load its tokenizer.json or tokenizer.model, or use Codec.from_callable"
    )
