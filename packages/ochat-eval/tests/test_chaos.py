"""Servers that stall, refuse under load or lose their connections: never a wrong answer for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval import Question, Retry, RunConfig, rescore, run_suite


def test_a_stalled_answer_is_asked_for_again_and_at_last_an_error(
    config: RunConfig, server: Any, questions: list[Question], oracle: Any, is_right: Any
) -> None:
    for_ever, once = {questions[3].prompt, questions[4].prompt}, {questions[7].prompt}

    def answer(body: dict[str, Any], attempt: int) -> Any:
        prompt = server.prompt_of(body)
        stalls = prompt in for_ever or (prompt in once and attempt == 1)
        return "<stall>" if stalls else oracle(body, attempt)

    server.answer = answer
    summary: Any = run_suite(
        replace(config, timeout_seconds=1, retry=Retry(attempts=2, first_wait_seconds=0.01))
    )
    overall = summary["overall"]
    assert overall["errors"] == 2
    assert overall["correct"] == sum(
        is_right(question) for question in questions if question.prompt not in for_ever
    )
    rows = (config.output / "verdicts.jsonl").read_text().splitlines()
    stalled = [json.loads(row) for row in rows if '"error"' in row]
    assert [row["rule"] for row in stalled] == ["timed out"] * 2
    assert [row["score"] for row in stalled] == [None, None]


def test_a_server_that_takes_few_is_found_out_and_no_answer_is_lost(
    config: RunConfig, server: Any, oracle: Any, questions: list[Question], is_right: Any
) -> None:
    refused = 0

    def answer(body: dict[str, Any], attempt: int) -> Any:
        nonlocal refused
        if server.in_flight > 4:
            refused += 1
            return web.Response(status=429)
        return oracle(body, attempt)

    server.answer, server.delay_seconds = answer, 0.005
    patient = Retry(attempts=12, first_wait_seconds=0.02)
    summary: Any = run_suite(replace(config, concurrency=64, retry=patient))
    assert refused
    assert summary["overall"]["errors"] == 0
    assert summary["overall"]["correct"] == sum(map(is_right, questions))


def test_an_empty_answer_is_asked_for_once_more(
    config: RunConfig, server: Any, questions: list[Question], oracle: Any, is_right: Any
) -> None:
    once, always = questions[3].prompt, questions[4].prompt

    def answer(body: dict[str, Any], attempt: int) -> str:
        prompt = server.prompt_of(body)
        empty = prompt == always or (prompt == once and attempt == 1)
        return "" if empty else oracle(body, attempt)

    server.answer = answer
    summary: Any = run_suite(config)
    assert (server.attempts[once], server.attempts[always]) == (2, 2)
    assert summary["problems"]["empty"] == 1
    assert summary["overall"]["unparsed"] == 1
    right = sum(is_right(question) for question in questions if question.prompt != always)
    assert summary["overall"]["correct"] == right


def test_reasoning_that_the_server_separates_is_kept_and_not_graded(
    config: RunConfig, server: Any, make_suite: Callable[[list[Question]], str]
) -> None:
    asked = [
        Question(
            id=str(i), group="g", family="choice", prompt=str(i), labels=("B",), options=("x", "y")
        )
        for i in range(2)
    ]

    def answer(body: dict[str, Any], _attempt: int) -> web.Response:
        cut = server.prompt_of(body) == "1"
        message = {"content": None if cut else "(B)", "reasoning_content": "The answer is (A)."}
        choice = {"message": message, "finish_reason": "length" if cut else "stop"}
        return web.json_response({"choices": [choice]})

    server.answer = answer
    summary: Any = run_suite(replace(config, suite=make_suite(asked)))
    assert summary["overall"]["correct"] == 1
    assert summary["overall"]["truncated"] == 1
    stored = (config.output / "responses.jsonl").read_text()
    assert stored.count('"reasoning":"The answer is (A)."') == 2


FAMILIES = """\
import sys, time
from ochat_eval import RunConfig, run_suite
from pathlib import Path
url, suite, output = sys.argv[1:]
run_suite(RunConfig(base_url=url, model="tiny", suite=suite, output=Path(output), concurrency=2,
                    allow_code=True, profiles=("original-2024",)))
"""


@pytest.mark.parametrize("kill_after", [1, 11])
def test_a_run_killed_while_grading_mathematics_and_programs_ends_with_the_same_bytes(
    server: Any, tmp_path: Path, make_suite: Callable[[list[Question]], str], kill_after: int
) -> None:
    pytest.importorskip("math_verify")
    server.delay_seconds = 0.05
    server.answer = by_family
    context = {"prompt": "def f(x):\n", "entry_point": "f",
               "test": "def check(f):\n    assert f(1) == 2\n"}  # fmt: skip
    asked = [
        Question(id=f"q{i}", group=f, family=f, prompt=f"{f} {i}", labels=("\\frac{1}{2}",),
                 task=f, context=context if f == "humaneval" else {})
        for i in range(5) for f in ("math", "humaneval", "text")
    ]  # fmt: skip
    asked = [replace(question, id=f"{question.id}-{question.family}") for question in asked]
    suite = make_suite(asked)
    command = [sys.executable, "-c", FAMILIES, server.url, suite]
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    responses, deadline = tmp_path / "killed/responses.jsonl", time.monotonic() + 60
    while not (responses.exists() and responses.read_bytes().count(b"\n") >= kill_after):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    for name in ("summary.json", "verdicts.jsonl", "verdicts.original-2024.jsonl"):
        contents = {(tmp_path / run / name).read_bytes() for run in ("killed", "whole")}
        assert len(contents) == 1
    before = (tmp_path / "whole/summary.json").read_bytes()
    rescore(tmp_path / "whole", allow_code=True, profiles=("original-2024",))
    assert (tmp_path / "whole/summary.json").read_bytes() == before
    overall = json.loads(before)["overall"]
    assert (overall["correct"], overall["incorrect"]) == (6, 9)


def by_family(body: dict[str, Any], _attempt: int) -> str:
    family, number = str(body["messages"][-1]["content"]).split()
    right = int(number) % 2 == 0
    if family == "humaneval":
        return f"```python\ndef f(x):\n    return x + {1 if right else 2}\n```"
    return f"The answer is {'0.5' if right else '0.7'}."
