"""For tests of programs that use this package: small real tokenizers, golden cases, a checker.

The tokenizers follow the encoding rule like the published ones. `byte_codec` and `check_codec`
need nothing installed; the trained ones need the extra `sentencepiece`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from .checking import check_codec
from .codec import Codec
from .errors import TokenizerError
from .goldens import GoldenCase, golden_cases
from .registry import get_template
from .sentencepiece_model import ModelPiece, with_pieces_inserted
from .template import Template

__all__ = [
    "GoldenCase",
    "byte_codec",
    "check_codec",
    "golden_cases",
    "train_sentencepiece",
    "write_trap_model",
]

# As in Llama's tokenizer.model: right after the three control pieces and the 256 bytes, with a
# score so low that they are merged last.
_RUNS_FROM_ID = 3 + 256
_RUN_SCORE = -1e9
_LONGEST_RUN = 16
_TRAP_TEXTS = (
    "def add(left, right): return left + right",
    "The quick brown fox jumps over the lazy dog, and returns to the others.",
    "User: Assistant: GPT4 GPT3 Correct Code Math Hello, how are you today?",
    "for index in range(10): print(index, end=' ')",
)


def byte_codec(template: str | Template) -> Codec:
    """A codec whose tokens are UTF-8 bytes: ids 0 to 255, then the template's control tokens.

    Where the template strips a leading space, every text gets one, as SentencePiece does it, so
    that `decode` inverts `encode_text`. Pure Python: nothing needs to be installed.

    Raises:
        UnknownTemplateError: No template has that name.
    """
    chosen = get_template(template) if isinstance(template, str) else template
    prefix = b" " if chosen.strip_leading_space else b""
    control_ids = {token: 256 + index for index, token in enumerate(chosen.control_tokens)}
    table = [bytes([value]) for value in range(256)]
    return Codec.from_callable(
        lambda text: list(prefix + text.encode()),
        chosen,
        control_ids=control_ids,
        token_bytes=table,
    )


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
    return _write(_trained(texts, vocab_size), path)


def write_trap_model(path: Path) -> Path:
    """Writes a tiny SentencePiece model on which the known defects show.

    Runs of spaces are pieces with low ids and the lowest score, as in Llama's and Mistral's
    files: a conversion that orders merges by id, as Transformers 5 makes it, gives other ids to
    indented code. It has the dummy prefix and byte fallback as well.

    Raises:
        TokenizerError: The package sentencepiece is missing.
    """
    runs = [
        ModelPiece(text="\u2581" * length, score=_RUN_SCORE)
        for length in range(2, _LONGEST_RUN + 1)
    ]
    model = _trained(_TRAP_TEXTS * 8, vocab_size=420)
    return _write(with_pieces_inserted(model, _RUNS_FROM_ID, runs), path)


def _trained(texts: Iterable[str], vocab_size: int) -> bytes:
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
    return model.getvalue()


def _write(model: bytes, path: Path) -> Path:
    beside = path.with_name(f".{path.name}.partial")
    beside.write_bytes(model)
    beside.replace(path)
    return path
