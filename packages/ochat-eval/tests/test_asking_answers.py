"""Asking a model for what a judge will read: both turns, and nothing lost when it is cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval.__main__ import main
from ochat_eval.judging.fastchat import read_mt_answers

CATEGORIES = ("writing", "math", "coding", "stem")


def two_turns(folder: Path) -> Path:
    """Eight questions of four categories."""
    rows = [
        {"question_id": i, "category": CATEGORIES[i % 4], "turns": [f"first {i}?", f"second {i}?"]}
        for i in range(8)
    ]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def first_message(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"]


def test_two_turns_are_asked_as_one_conversation_and_continued(server: Any, tmp_path: Path) -> None:
    questions = two_turns(tmp_path)
    server.prompt_of = first_message

    def reply(body: dict[str, Any], _attempt: int) -> str:
        return f"reply {len(body['messages'])}"

    server.answer = reply
    out = tmp_path / "answers.jsonl"
    command = ["judge", "answer", "--questions", questions, "--base-url", server.url,
               "--model", "tiny", "--condition", "GPT4", "--output", out]  # fmt: skip
    assert main([str(word) for word in command]) == 0
    assert {a.turns for a in read_mt_answers(out).values()} == {("reply 1", "reply 3")}
    assert {body["condition"] for body in server.bodies} == {"GPT4"}
    temperatures = {b["messages"][0]["content"]: b["temperature"] for b in server.bodies}
    assert (temperatures["first 0?"], temperatures["first 1?"]) == (0.7, 0.0)
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    assert main([str(word) for word in command]) == 0
    assert (len(server.bodies), out.read_bytes()) == (16 + 6, whole)


def test_answers_outlive_a_run_that_is_cut_off(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    questions = two_turns(tmp_path)
    server.prompt_of = first_message
    out = tmp_path / "answers.jsonl"
    command = ["judge", "answer", "--questions", questions, "--base-url", server.url,
               "--model", "tiny", "--concurrency", 1, "--output", out]  # fmt: skip

    def refuse(count: int) -> None:
        if count > 7:
            raise web.HTTPUnauthorized(text="{}", content_type="application/json")

    def reply(body: dict[str, Any], _attempt: int) -> str:
        return f"to {len(body['messages'])}"

    server.answer, server.on_request = reply, refuse
    assert main([str(word) for word in command]) == 1
    assert "refuses the key" in capfd.readouterr().err
    assert not out.exists()
    partial = tmp_path / "answers.jsonl.partial"
    with partial.open("ab") as file:
        file.write(b'{"key": "torn')
    # Other settings would give other answers: none of the three may be taken for them.
    server.on_request, other = None, tmp_path / "gpt4.jsonl"
    (tmp_path / "gpt4.jsonl.partial").write_bytes(partial.read_bytes())
    asked = len(server.bodies)
    assert main([*map(str, command[:-1]), str(other), "--condition", "GPT4"]) == 0
    assert len(server.bodies) - asked == 16
    asked = len(server.bodies)
    assert main([str(word) for word in command]) == 0
    assert len(server.bodies) - asked == 16 - 2 * 3
    assert {each.turns for each in read_mt_answers(out).values()} == {("to 1", "to 3")}
    assert not partial.exists()
