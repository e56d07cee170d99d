"""Fixtures: a small real tokenizer in both file forms, and the folder of licensed test data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ochat_templates import convert_sentencepiece
from ochat_templates.testing import train_sentencepiece

TEXTS = [
    "What is the capital of France? The capital of France is Paris.",
    "def add(a, b):\n    return a + b",
    "User: Assistant: GPT4 GPT3 Hello, how are you today?",
    "Words make sentences; sentences make a conversation, and every turn ends somewhere.",
] * 4


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
