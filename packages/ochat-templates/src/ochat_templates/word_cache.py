"""SentencePiece's ids of a text, put together from those of its words.

Byte-pair merges never cross a place where no piece of the vocabulary can lie across it. Most
vocabularies have no piece in which U+2581, the written space, follows another character; there,
the words of a text (each with the spaces before it) can be encoded one by one and remembered,
with the very ids that the text as a whole would give. Text is made of few words often repeated,
so that most of it needs no merging at all.
"""

from __future__ import annotations

import re

import sentencepiece

from .sentencepiece_model import ModelType, PieceKind, read_model

_SPACE = "\u2581"
_WORDS = re.compile(f"[ {_SPACE}]*[^ {_SPACE}]+|[ {_SPACE}]+")
_ACROSS = re.compile(f"[^{_SPACE}]{_SPACE}| ")
# About 30 MB when full; what is longer than a word is mostly unique, or a script without spaces.
_MOST_WORDS = 1 << 17
_LONGEST_WORD = 32
# A text of mostly new words costs less as a whole; a part of them is learnt, for the next text.
_MOST_NEW = 0.5
_LEARNT_PART = 8
# Text that hardly repeats itself (program code, say) costs more by words than as a whole: after a
# window of texts with more new words than this share, so many texts are encoded as wholes.
_WINDOW, _RESTING = 32, 480
_MOST_NEW_OF_WINDOW = 0.25


class WordCache:
    """Encodes text exactly as its processor does, remembering the ids of words."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor, *, prefix: bool) -> None:
        """Wraps a model that `cuts_at_spaces`; `prefix` says whether it adds a dummy prefix."""
        self._processor = processor
        self._prefix = prefix
        self._known: dict[str, list[int]] = {}
        self._texts = self._words = self._new = 0  # of the window so far
        self._rest = 0  # texts still to be encoded as wholes

    def __len__(self) -> int:
        """How many words are remembered."""
        return len(self._known)

    def encode(self, text: str) -> list[int]:
        """The ids of `SentencePieceProcessor.encode(text)`."""
        if self._rest:
            self._rest -= 1
            return self._processor.encode(text)
        words = _WORDS.findall(text)
        if not words:
            return []
        if self._prefix:
            words[0] = " " + words[0]
        known = self._known
        found = [known.get(word) for word in words]
        missing = found.count(None)
        self._note(len(words), missing)
        if missing:
            if missing > _MOST_NEW * len(words):
                self._learn(words, found, most=len(words) // _LEARNT_PART + 1)
                return self._processor.encode(text)
            self._learn(words, found, most=missing)
        return [token_id for ids in found if ids for token_id in ids]

    def _note(self, words: int, new: int) -> None:
        """Ends a window now and then, and rests where remembering did not pay."""
        self._texts += 1
        self._words += words
        self._new += new
        if self._texts == _WINDOW:
            if self._new > _MOST_NEW_OF_WINDOW * self._words:
                self._rest = _RESTING
            self._texts = self._words = self._new = 0

    def _learn(self, words: list[str], found: list[list[int] | None], *, most: int) -> None:
        """Fills in the ids of the first `most` missing words."""
        for index, word in enumerate(words):
            if found[index] is None:
                if most == 0:
                    return
                most -= 1
                found[index] = ids = self._encode_word(word)
                if len(word) <= _LONGEST_WORD:
                    if len(self._known) >= _MOST_WORDS:
                        self._known.clear()
                    self._known[word] = ids

    def _encode_word(self, word: str) -> list[int]:
        if not self._prefix:
            return self._processor.encode(word)
        # The processor puts a space of its own in front, which stands for the word's first; it
        # puts none in front of nothing, so that a lone space has to be asked for by name.
        return self._processor.encode(word[1:]) or [self._processor.piece_to_id(_SPACE)]


def word_cache(processor: sentencepiece.SentencePieceProcessor) -> WordCache | None:
    """The cache of a model whose pieces never lie across the start of a word; otherwise None."""
    model = read_model(processor.serialized_model_proto())
    cut = (PieceKind.NORMAL, PieceKind.USER_DEFINED)
    texts = [piece.text for piece in model.pieces if piece.kind in cut]
    user_defined = any(piece.kind is PieceKind.USER_DEFINED for piece in model.pieces)
    plain = (
        model.model_type is ModelType.BPE
        and model.escape_spaces
        and not model.has_charsmap
        and not model.remove_spaces
        and not model.space_as_suffix
        # Symbols are matched before the prefix is put in front, which a word cannot repeat.
        and not (user_defined and model.dummy_prefix)
    )
    if not plain or _SPACE not in texts or any(_ACROSS.search(text) for text in texts):
        return None
    return WordCache(processor, prefix=model.dummy_prefix)
