"""Real, small tokenizers for tests and demos of programs that use this package.

They follow the encoding rule like the published ones; needs the extra `sentencepiece`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from .errors import TokenizerError


def train_sentencepiece(texts: Iterable[str], path: Path, *, vocab_size: int = 512) -> Path:
    """Trains a SentencePiece BPE model with Llama's settings and writes it to `path`.

    The settings are those that the rule relies on: identity normaliser, spaces kept, dummy
    prefix, byte fallback, digits one by one. Control tokens of a chat format are not in it.

    Args:
        texts: What to learn pieces from; the same texts give the same file.
        path: Where the `.model` goes.
        vocab_size: The most pieces, 259 of them bytes and specials; fewer if the texts are few.

    Raises:
        TokenizerError: The texts are too few for a vocabulary, or the package is missing.
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise TokenizerError(
            "training a tokenizer needs: pip install 'ochat-templates[sentencepiece]'"
        ) from error
    model = io.BytesIO()
    # A line is the trainer's unit; texts with line breaks are cut into theirs.
    lines = (line for text in texts for line in text.splitlines() if line.strip())
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            byte_fallback=True,
            split_digits=True,
            character_coverage=0.9999,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TokenizerError(
            f"no tokenizer of {vocab_size} pieces can be learnt from these texts ({error}); "
            "give more text or a smaller vocab_size"
        ) from error
    beside = path.with_name(f".{path.name}.partial")
    beside.write_bytes(model.getvalue())
    beside.replace(path)
    return path
