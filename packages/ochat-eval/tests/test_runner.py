from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval import (
    Question,
    RunConfig,
    RunFolderError,
    ServerError,
    UnreachableError,
    load_suite,
    run_suite,
)

Completed = Callable[..., web.Response]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_accuracy_of_an_oracle_is_exactly_the_planned_one(
    config: RunConfig, questions: list[Question], is_right: Any
) -> None:
    summary: Any = run_suite(config)
    planned = sum(map(is_right, questions))
    assert summary["overall"]["correct"] == planned
    assert summary["overall"]["accuracy"] == planned / 60
    for group in ("letters", "numbers"):
        members = [question for question in questions if question.group == group]
        assert summary["groups"][group]["correct"] == sum(map(is_right, members))
    for row in read_lines(config.output / "verdicts.jsonl"):
        question = next(q for q in questions if q.id == row["id"])
        assert (row["status"] == "correct") == is_right(question), row


def test_the_request_carries_what_was_asked_for_and_nothing_else(
    config: RunConfig, server: Any
) -> None:
    run_suite(config)
    assert set(server.bodies[0]) == {"model", "messages", "temperature"}
    other = replace(config, output=config.output / "b", condition="GPT4", max_tokens=9)
    server.bodies.clear()
    run_suite(other)
    body = server.bodies[0]
    assert (body["condition"], body["max_tokens"], body["temperature"]) == ("GPT4", 9, 0.0)


def test_no_more_requests_are_in_flight_than_allowed(config: RunConfig, server: Any) -> None:
    server.delay_seconds = 0.01
    run_suite(replace(config, concurrency=5))
    assert server.most_in_flight == 5


def test_chaos_yields_exactly_the_planned_counts_of_every_status(
    config: RunConfig,
    server: Any,
    questions: list[Question],
    completed: Completed,
    oracle: Any,
    is_right: Any,
) -> None:
    def answer(body: dict[str, Any], attempt: int) -> web.StreamResponse | str:
        number = int(body["messages"][0]["content"].split()[1].strip("?"))
        match number:
            case 0 | 1 if attempt == 1:
                return web.Response(status=429, headers={"Retry-After": "0.05"})
            case 2 | 3 if attempt < 4:
                return web.Response(status=500, text="boom")
            case 4 | 5 if attempt == 1:
                return "<reset>"
            case 6 if attempt == 1:
                return web.Response(text='{"choices": [{"mess', content_type="application/json")
            case 7 | 8:
                return web.json_response({"error": {"message": "too long"}}, status=400)
            case 9:
                return web.Response(status=503)
            case 10:
                return "<reset>"
            case 11 | 12:
                return ""
            case 13:
                return completed(None)
            case 14 | 15 | 16:
                return completed("Let us think about", "length")
            case 17:
                return completed("<think>The answer is (B) or 1017", "stop")
            case 18:
                return web.json_response({"ok": True})
        return oracle(body, attempt)

    server.answer = answer
    summary: Any = run_suite(config)
    disturbed = set(range(7, 19))
    planned = sum(is_right(q) for i, q in enumerate(questions) if i not in disturbed)
    overall = summary["overall"]
    assert overall["errors"] == 5
    assert overall["unparsed"] == 3
    assert overall["truncated"] == 4
    assert overall["correct"] == planned
    assert overall["n"] == 55
    assert overall["accuracy"] == planned / 55
    assert not summary["complete"]
    rules = {row["id"]: row["rule"] for row in read_lines(config.output / "verdicts.jsonl")}
    assert rules["q7"] == "400: too long"
    assert server.attempts["question 7?"] == 1
    assert server.attempts["question 9?"] == 4


def test_retry_after_is_honoured(config: RunConfig, server: Any, oracle: Any) -> None:
    def answer(body: dict[str, Any], attempt: int) -> web.StreamResponse | str:
        if attempt == 1 and "question 0?" in body["messages"][0]["content"]:
            return web.Response(status=429, headers={"Retry-After": "0.4"})
        return oracle(body, attempt)

    server.answer = answer
    run_suite(config)
    waited = [row for row in read_lines(config.output / "responses.jsonl") if row["attempts"] == 2]
    assert [row["id"] for row in waited] == ["q0"]
    assert waited[0]["seconds"] >= 0.4


def test_a_stopped_run_resumes_and_ends_with_the_same_bytes(config: RunConfig, server: Any) -> None:
    run_suite(config)
    whole = {
        name: (config.output / name).read_bytes() for name in ("summary.json", "verdicts.jsonl")
    }
    stopped = replace(config, output=config.output.with_name("stopped"))
    run_suite(stopped)
    for name in whole:
        (stopped.output / name).unlink()
    responses = stopped.output / "responses.jsonl"
    kept = responses.read_bytes().splitlines(keepends=True)[:23]
    responses.write_bytes(b"".join(kept) + b'{"key": "torn')
    server.bodies.clear()
    run_suite(stopped)
    assert len(server.bodies) == 60 - 23
    assert len(read_lines(responses)) == 60
    for name, content in whole.items():
        assert (stopped.output / name).read_bytes() == content


def test_a_server_that_dies_in_between_stops_the_run(config: RunConfig, server: Any) -> None:
    def leave(count: int) -> None:
        if count == 20:
            server.leave()

    server.on_request = leave
    with pytest.raises(UnreachableError, match=r"no server answers .*stopped after \d+ of 60"):
        run_suite(config)
    stored = read_lines(config.output / "responses.jsonl")
    assert all(row["text"] is not None for row in stored)


def test_a_key_that_is_withdrawn_stops_the_run_which_then_resumes(
    config: RunConfig, server: Any, oracle: Any
) -> None:
    def answer(body: dict[str, Any], attempt: int) -> web.StreamResponse | str:
        if len(server.bodies) > 30:
            return web.json_response({"error": {"message": "key was withdrawn"}}, status=401)
        return oracle(body, attempt)

    server.answer = answer
    with pytest.raises(ServerError, match=r"refuses the key .*stopped after \d+ of 60"):
        run_suite(config)
    assert not (config.output / "summary.json").exists()
    answered = len(read_lines(config.output / "responses.jsonl"))
    assert 0 < answered <= 30
    server.answer = oracle
    server.bodies.clear()
    summary: Any = run_suite(config)
    assert len(server.bodies) == 60 - answered
    assert summary["complete"]


def test_a_vanished_server_stops_the_run_in_one_sentence(config: RunConfig, server: Any) -> None:
    run_suite(config)
    responses = config.output / "responses.jsonl"
    responses.write_bytes(b"".join(responses.read_bytes().splitlines(keepends=True)[:10]))
    server.stop()
    with pytest.raises(UnreachableError, match="no server answers at .*ochat-serve MODEL"):
        run_suite(config)
    assert len(read_lines(responses)) == 10


def test_passing_failures_are_asked_again_on_resume_and_refusals_are_not(
    config: RunConfig, server: Any, oracle: Any
) -> None:
    def answer(body: dict[str, Any], attempt: int) -> web.StreamResponse | str:
        prompt = body["messages"][0]["content"]
        status = {"question 3?": 503, "question 4?": 422}.get(prompt)
        return web.Response(status=status) if status else oracle(body, attempt)

    server.answer = answer
    first: Any = run_suite(config)
    assert first["overall"]["errors"] == 2
    server.answer = oracle
    server.bodies.clear()
    second: Any = run_suite(config)
    assert [body["messages"][0]["content"] for body in server.bodies] == ["question 3?"]
    assert second["overall"]["errors"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 5}, "max_tokens None, this one has 5"),
        ({"condition": "GPT3"}, "condition ''"),
        ({"limit": 3}, "suite digest"),
    ],
)
def test_resuming_with_another_configuration_is_refused(
    config: RunConfig, change: dict[str, Any], message: str
) -> None:
    run_suite(config)
    before = (config.output / "summary.json").read_bytes()
    with pytest.raises(RunFolderError, match=message):
        run_suite(replace(config, **change))
    assert (config.output / "summary.json").read_bytes() == before


def test_a_folder_with_other_things_in_it_is_not_touched(config: RunConfig) -> None:
    config.output.mkdir()
    (config.output / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        run_suite(config)
    assert [path.name for path in config.output.iterdir()] == ["thesis.txt"]


def test_preflight_says_what_is_wrong_before_a_folder_is_made(
    config: RunConfig, server: Any
) -> None:
    with pytest.raises(ServerError, match="does not serve 'huge': give --model one of tiny"):
        run_suite(replace(config, model="huge"))
    with pytest.raises(ServerError, match="is no base URL"):
        run_suite(replace(config, base_url="localhost:1"))
    with pytest.raises(ServerError, match="is not the API"):
        run_suite(replace(config, base_url=f"{server.url}/nested"))
    with pytest.raises(UnreachableError, match="no server answers"):
        run_suite(replace(config, base_url="http://127.0.0.1:9"))
    server.key = "secret"
    with pytest.raises(ServerError, match=r"refuses the key \(401: invalid api key\)"):
        run_suite(replace(config, api_key="wrong"))
    assert not config.output.exists()
    bare = server.url.removesuffix("/v1") + "/"  # a base URL without a path means /v1
    run_suite(replace(config, base_url=bare, api_key="secret"))
    assert "secret" not in "".join(p.read_text() for p in config.output.iterdir())


def test_the_originals_questions_are_asked_as_they_are(
    config: RunConfig, server: Any, test_data: Path
) -> None:
    suite = str(test_data / "openchat_eval/zs/bbh_mc_orca/navigate.jsonl")
    questions = load_suite(suite, limit=20).questions
    labels = {question.prompt: question.labels[0] for question in questions}

    def answer(body: dict[str, Any], _attempt: int) -> str:
        return f"The answer is ({labels[body['messages'][0]['content']]})"

    server.answer = answer
    summary: Any = run_suite(replace(config, suite=suite, limit=20))
    assert summary["groups"]["navigate"]["correct"] == 20
