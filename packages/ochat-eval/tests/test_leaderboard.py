"""The seed's table from published results, judged folders and runs, and the one command to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ochat_eval.__main__ import main

PUBLISHED = [
    {"model": "ChatGPT", "size": "175B*", "context": "4K", "free": "no", "alpaca_eval": 89.4,
     "mt_bench_adjusted": 50.0, "mt_bench_score": 7.94},
    {"model": "A | B", "alpaca_eval": 12},
]  # fmt: skip


def test_one_command_takes_a_served_model_to_the_table(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def answer(body: dict[str, Any], _attempt: int) -> str:
        words = "The answer is (A). " + " ".join(f"word{n}" for n in range(20))
        return words if body.get("condition") == "GPT4" else "(A)"

    server.answer = answer
    out = tmp_path / "out"
    command = ["headline", "--model", "tiny", "--base-url", server.url, "--output", str(out)]
    assert main(command) == 0
    said = capfd.readouterr().out
    assert "**AlpacaEval (win rate %)**" in said
    assert "**tiny (GPT4)**" in said
    assert "**100.0† [" in said
    assert "†: judged by a fixed rule" in said
    assert (out / "page.html").stat().st_size > 10_000
    asked = len(server.bodies)
    assert main(command) == 0
    assert len(server.bodies) == asked


def test_published_results_stand_beside_own_rows_in_every_form(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert (
        main(["headline", "--model", "tiny", "--base-url", server.url, "--output", str(out)]) == 0
    )
    (tmp_path / "p.json").write_text(json.dumps(PUBLISHED))
    names = [{"model": "tiny (GPT4)", "name": "Tiny <1>", "size": "2M", "context": "512"}]
    (tmp_path / "m.json").write_text(json.dumps(names))
    capfd.readouterr()
    folders = [str(out / name) for name in ("run", "mt-bench", "alpaca")]
    table = ["leaderboard", *folders, "--published", str(tmp_path / "p.json"),
             "--models", str(tmp_path / "m.json")]  # fmt: skip
    assert main(table) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[2] == "| ChatGPT | 175B* | 4K | no | 89.4 | 50.0 | 7.94 |  |"
    assert lines[3].startswith("| A \\| B |")
    assert lines[4].startswith("| **Tiny <1>** | **2M** | **512** |  | **50.0†**")
    assert main([*table, "--format", "json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [row["own"] for row in told["rows"]] == [False, False, True]
    assert told["rows"][2]["figures"]["AlpacaEval (win rate %)"]["scripted"] is True
    assert main([*table, "--format", "html", "--intervals"]) == 0
    page = capfd.readouterr().out
    assert "Tiny &lt;1&gt;" in page
    assert "<tr class=own>" in page


def test_the_published_leaderboard_is_read(
    test_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = test_data / "alpaca_eval" / "alpaca_eval_gpt4_leaderboard.csv"
    arguments = ["leaderboard", "--published", str(table), "--only", "openchat-v3.1-13b"]
    assert main([*arguments, "--intervals"]) == 0
    assert "| openchat-v3.1-13b |  |  |  | 89.5 [87.4, 91.6] |" in capfd.readouterr().out


def test_nothing_to_show_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard"]) == 1
    assert main(["leaderboard", str(tmp_path)]) == 1
    assert "give a folder of" in capfd.readouterr().err
