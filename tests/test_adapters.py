"""A LoRA adapter, trained, then served by name beside its base and merged: equal answers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from walking import BIN, Walk, command, wait_until_ready

QUESTIONS = ("How many legs on a spider?", "What is the capital of Japan?", "Hello")


@contextmanager
def serving(folder: Path, *words: object) -> Iterator[openai.OpenAI]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--port", port, "--engine", "transformers", "--dtype", "float32", *words]
    process = subprocess.Popen([BIN / "ochat-serve", folder, *map(str, arguments)])
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            yield client
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def answers(client: openai.OpenAI, model: str) -> list[str | None]:
    return [
        client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=24,
        )
        .choices[0]
        .message.content
        for question in QUESTIONS
    ]


def test_an_adapter_by_name_answers_as_the_merged_model(walk: Walk, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    run = tmp_path / "run"
    command("ochat-train", "run", "--model", walk.model, "--data", walk.dataset, "--output", run,
            "--lora", "--lora-rank", "4", "--lr", "3e-2", "--epochs", "1", "--threads", "1",
            "--quiet")  # fmt: skip
    adapter, merged = run / "adapter", run / "model"
    with serving(walk.model, "--adapters", f"mine.v1={adapter}", f"again={adapter}") as client:
        listed = {model.id for model in client.models.list()}
        assert {"mine.v1", "again", "openchat_v3.2"} <= listed
        by_name = answers(client, "mine.v1")
        base = answers(client, "openchat_v3.2")
        assert answers(client, "again") == by_name
        # Back and forth between them changes neither.
        assert answers(client, "mine.v1") == by_name
        with pytest.raises(openai.NotFoundError):
            answers(client, "mine.v2")
    with serving(merged) as client:
        assert answers(client, "openchat_v3.2") == by_name
    with serving(walk.model) as client:
        assert answers(client, "openchat_v3.2") == base
    assert base != by_name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine"], "--adapters expects NAME=FOLDER, got 'mine'"),
        (["openchat_v3.2=there"], "the name openchat_v3.2 is taken"),
        (["mine=there"], "there is no LoRA adapter"),
    ],
)
def test_a_wrong_adapter_is_one_sentence(walk: Walk, words: list[str], said: str) -> None:
    result = subprocess.run(
        [BIN / "ochat-serve", walk.model, "--port", "0", "--adapters", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
