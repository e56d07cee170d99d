"""Fixtures shared by the tests: a real small tokenizer, records, and the command as a function."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import Record
from ochat_data.__main__ import main
from ochat_templates import Codec, Conversation, Message, load_codec
from ochat_templates.testing import train_sentencepiece

_TEXTS = (
    "What is the capital of France? The capital of France is Paris.",
    "def add(a, b):\n    return a + b",
    "Please write a short story about a fox and a lazy dog, in three sentences.",
    "Seven times eight is 56, and 2018 was a year.",
)


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_sentencepiece(_TEXTS * 5, tmp_path_factory.mktemp("spm") / "tokenizer.model")


@pytest.fixture(scope="session")
def codec(tokenizer_path: Path) -> Codec:
    return load_codec(tokenizer_path, "openchat_v3.2")


@pytest.fixture(scope="session")
def test_data() -> Path:
    folder = os.environ.get("OCHAT_TEST_DATA")
    if not folder:
        pytest.skip("OCHAT_TEST_DATA names no folder of test data")
    return Path(folder)


@pytest.fixture
def talk() -> Callable[..., Record]:
    """Makes a record of alternating user and assistant messages."""

    def make(
        *contents: str, model: str = "gpt-4", condition: str = "", weight: float | None = None
    ) -> Record:
        messages = tuple(
            Message(role="assistant", content=content, weight=weight)
            if index % 2
            else Message(role="user", content=content)
            for index, content in enumerate(contents)
        )
        conversation = Conversation(messages=messages, condition=condition)
        return Record.create(conversation, model=model, source="test.json")

    return make


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `ochat-data` in this process; returns exit code, standard output, standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
