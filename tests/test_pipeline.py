"""The demo's walk on a tiny size: raw conversations in, a served and measured model out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from walking import Walk, command


def test_training_lowers_the_loss_and_says_so_in_its_metrics(walk: Walk) -> None:
    lines = (walk.model.parent / "metrics.jsonl").read_text().splitlines()
    losses = [record["loss"] for line in lines if "loss" in (record := json.loads(line))]
    assert losses[-1] < losses[0] - 0.5


def test_nothing_is_lost_without_being_counted(walk: Walk, tmp_path: Path) -> None:
    output = tmp_path / "records.jsonl"
    said = command("ochat-data", "import", *walk.raw, "--output", output).stderr
    kept = len(output.read_text().splitlines())
    rejected = len((tmp_path / "records.jsonl.rejects.jsonl").read_text().splitlines())
    assert kept + rejected == 300
    assert f"300 in = {kept} out + {rejected} rejected" in said


def test_the_official_client_talks_to_the_trained_model(server: str) -> None:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        asked: dict[str, Any] = {
            "model": client.models.list().data[0].id,
            "messages": [{"role": "user", "content": "What is the capital of Japan?"}],
            "temperature": 0,
            "max_tokens": 12,
        }
        whole = client.chat.completions.create(**asked)
        stream = client.chat.completions.create(**asked, stream=True)
        streamed = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert streamed == whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.completion_tokens <= 12


def test_evaluation_asks_the_server_and_reports_an_interval(server: str, tmp_path: Path) -> None:
    runs: list[Path] = []
    for condition in ("GPT4", "GPT3"):
        runs.append(tmp_path / condition)
        command("ochat-eval", "run", "--base-url", f"{server}/v1", "--model", "openchat_v3.2",
                "--suite", "sample", "--limit", "10", "--max-tokens", "24",
                "--condition", condition, "--output", runs[-1])  # fmt: skip
    summary = json.loads((runs[0] / "summary.json").read_text())
    low, high = summary["overall"]["interval"]
    assert 0 <= low <= summary["overall"]["accuracy"] <= high <= 1
    assert "GPT3" in command("ochat-eval", "report", *runs).stdout


def test_an_unknown_condition_is_an_openai_shaped_error(server: str) -> None:
    with (
        openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.BadRequestError) as caught,
    ):
        client.chat.completions.create(
            model="openchat_v3.2",
            messages=[{"role": "user", "content": "Hi"}],
            extra_body={"condition": "GPT5"},
        )
    assert caught.value.param == "condition"
