"""Fixtures: a small real tokenizer in both file forms, and the folder of licensed test data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from ochat_templates import Template, convert_sentencepiece
from ochat_templates.testing import train_sentencepiece, write_trap_model

TEXTS = [
    "What is the capital of France? The capital of France is Paris.",
    "def add(a, b):\n    return a + b",
    "User: Assistant: GPT4 GPT3 Hello, how are you today?",
    "Words make sentences; sentences make a conversation, and every turn ends somewhere.",
] * 4
# GPT-4's way to cut words, as Llama 3 has it.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """What the small tokenizers learn from."""
    return TEXTS


@pytest.fixture(scope="session")
def sentencepiece_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model without any control token of a chat format."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    return train_sentencepiece(TEXTS, folder / "tokenizer.model", vocab_size=400)


@pytest.fixture(scope="session")
def tokenizers_file(sentencepiece_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer as a tokenizer.json, with the end-of-turn token added."""
    file = tmp_path_factory.mktemp("tokenizers") / "tokenizer.json"
    convert_sentencepiece(sentencepiece_file, ("<s>", "<|end_of_turn|>")).save(str(file))
    return file


@pytest.fixture(scope="session")
def byte_level_tokenizer() -> Callable[[Template], Tokenizer]:
    """Makes a small tokenizer of Llama 3's kind with a template's control tokens."""

    def make(template: Template) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=350, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(TEXTS, trainer)
        tokenizer.add_special_tokens(list(template.control_tokens))
        return tokenizer

    return make


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data that is not shipped with the project."""
    place = os.environ.get("OCHAT_TEST_DATA")
    if not place:
        pytest.skip("OCHAT_TEST_DATA is not set: no real tokenizers here")
    return Path(place)


@pytest.fixture(scope="session", params=["sentencepiece", "tokenizers"])
def llama2_tokenizer(
    request: pytest.FixtureRequest,
    test_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The real Llama 2 tokenizer, through each backend."""
    model = test_data / "llama2_tokenizer.model"
    if request.param == "sentencepiece":
        return model
    file = tmp_path_factory.mktemp("llama2") / "tokenizer.json"
    convert_sentencepiece(model, ("<s>", "<|end_of_turn|>")).save(str(file))
    return file


@pytest.fixture(scope="session")
def byte_level_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Template], Path]:
    """Tokenizers of Llama 3's kind with merges of English and code, one a template."""
    folder = tmp_path_factory.mktemp("byte_level")
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=3000, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(topics.values(), trainer)

    def make(template: Template) -> Path:
        file = folder / f"{template.name}.json"
        tokenizer = Tokenizer.from_str(trained.to_str())
        tokenizer.add_special_tokens(list(template.control_tokens))
        tokenizer.save(str(file))
        return file

    return make


@pytest.fixture(scope="session")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model with pieces of several spaces, as the released ones have them."""
    return write_trap_model(tmp_path_factory.mktemp("trap") / "tokenizer.model")
