"""Remembered words give the ids of the whole text, on every model where they may be used."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from ochat_templates import sentencepiece_tokenizer
from ochat_templates import word_cache as word_cache_module
from ochat_templates.sentencepiece_model import ModelPiece, PieceKind, with_pieces_inserted
from ochat_templates.sentencepiece_tokenizer import SentencePieceTokenizer
from ochat_templates.testing import write_trap_model
from ochat_templates.word_cache import word_cache

_PARTS = (
    *(" ", "  ", "\u2581", "a", "the", " the", "def", "\n", "\t", "\0", "12", "<s>", "<0x0A>"),
    *("\u00e9", "\u6f22\u5b57", "\U0001f600", "\u3000", "\u00a0", "\u2028", "word " * 9, "x" * 40),
)
_TEXTS = st.lists(st.sampled_from(_PARTS) | st.text(max_size=4), max_size=20).map("".join)


@pytest.fixture(scope="module")
def trap_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trap_model(tmp_path_factory.mktemp("trap") / "tokenizer.model")


@pytest.fixture(scope="module")
def processor(trap_model: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(trap_model))


def _train(folder: Path, **options: Any) -> sentencepiece.SentencePieceProcessor:
    texts = folder / "texts.txt"
    texts.write_text("the quick brown fox jumps over the lazy dog again and again\n" * 40)
    settings: dict[str, Any] = {
        "vocab_size": 300,
        "model_type": "bpe",
        "byte_fallback": True,
        "hard_vocab_limit": False,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
    }
    prefix = str(folder / "trained")
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=prefix, minloglevel=2, **settings | options
    )
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")


@settings(max_examples=300)
@given(texts=st.lists(_TEXTS, min_size=1, max_size=4))
def test_words_together_give_the_ids_of_the_text(
    processor: sentencepiece.SentencePieceProcessor, texts: list[str]
) -> None:
    cache = word_cache(processor)
    assert cache is not None
    for text in texts * 2:  # new words first, then remembered ones
        assert cache.encode(text) == processor.encode(text)


def test_a_released_model_gives_the_same_ids(test_data: Path) -> None:
    file = test_data / "llama2_tokenizer.model"
    bare = sentencepiece.SentencePieceProcessor(model_file=str(file))
    cache = word_cache(bare)
    assert cache is not None
    for words in itertools.islice(itertools.permutations(_PARTS, 4), 0, None, 11):
        text = "".join(words)
        assert cache.encode(text) == bare.encode(text)


def test_a_model_without_a_dummy_prefix_is_remembered_as_it_encodes(tmp_path: Path) -> None:
    bare = _train(tmp_path, add_dummy_prefix=False)
    cache = word_cache(bare)
    assert cache is not None
    for text in ("the fox", " the fox ", "fox the", " ", "", "again\nand  again", "\u2581the"):
        for _ in range(2):
            assert cache.encode(text) == bare.encode(text)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"model_type": "unigram", "vocab_size": 290}, id="another algorithm"),
        pytest.param({"normalization_rule_name": "nfkc"}, id="normalised text"),
        pytest.param({"remove_extra_whitespaces": True}, id="removed spaces"),
        pytest.param({"treat_whitespace_as_suffix": True}, id="spaces end words"),
        pytest.param({"split_by_whitespace": False, "vocab_size": 400}, id="pieces across words"),
        pytest.param({"user_defined_symbols": ["<x>"]}, id="symbols and a prefix"),
    ],
)
def test_where_a_word_depends_on_its_neighbours_nothing_is_remembered(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    assert word_cache(_train(tmp_path, **options)) is None


def test_one_piece_across_two_words_is_enough_to_refuse(
    processor: sentencepiece.SentencePieceProcessor,
) -> None:
    piece = ModelPiece(text="e\u2581f", score=-1.0, kind=PieceKind.NORMAL)
    data = with_pieces_inserted(processor.serialized_model_proto(), 300, [piece])
    assert word_cache(sentencepiece.SentencePieceProcessor(model_proto=data)) is None


def test_a_full_memory_starts_anew(
    processor: sentencepiece.SentencePieceProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_cache_module, "_MOST_WORDS", 3)
    cache = word_cache(processor)
    assert cache is not None
    text = "one two three four five six seven"
    for _ in range(9):
        assert cache.encode(text) == processor.encode(text)
        assert len(cache) <= 3


def test_a_tokenizer_remembers_the_words_that_it_met(
    trap_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[word_cache_module.WordCache] = []

    def noted(processor: sentencepiece.SentencePieceProcessor) -> Any:
        cache = word_cache(processor)
        assert cache is not None
        made.append(cache)
        return cache

    monkeypatch.setattr(sentencepiece_tokenizer, "word_cache", noted)
    tokenizer = SentencePieceTokenizer.load(trap_model, (), None)
    tokenizer.encode("the fox and the dog and the fox")
    assert len(made[0])


def test_texts_that_never_repeat_themselves_are_left_to_the_processor(
    processor: sentencepiece.SentencePieceProcessor,
) -> None:
    cache = word_cache(processor)
    assert cache is not None
    texts = [f"new{number} other{number} more{number}" for number in range(200)]
    assert [cache.encode(text) for text in texts] == [processor.encode(text) for text in texts]
    remembered = len(cache)
    cache.encode("these words would be learnt now")
    assert len(cache) == remembered  # it rests
    for _ in range(600):
        assert cache.encode("the fox") == processor.encode("the fox")
    assert len(cache) > remembered
