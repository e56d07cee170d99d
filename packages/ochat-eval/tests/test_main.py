from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import ochat_eval
from ochat_eval import Question
from ochat_eval.__main__ import main

COMMAND = [sys.executable, "-m", "ochat_eval"]


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_package_loads_neither_torch_nor_an_http_client() -> None:
    code = (
        "import sys, ochat_eval; heavy = {'torch', 'transformers', 'aiohttp', 'ochat_serve'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    assert ochat_eval.__all__ == sorted(ochat_eval.__all__)
    assert all(getattr(ochat_eval, name) for name in ochat_eval.__all__)


@pytest.mark.parametrize(
    "command", [[], ["run"], ["grade"], ["rescore"], ["report"], ["tasks"], ["compare"], ["bridge"]]
)
def test_every_command_explains_itself_with_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--help"])
    assert leaving.value.code == 0
    assert "example:" in capsys.readouterr().out


def test_grading_goes_from_json_lines_to_json_lines() -> None:
    rows = [
        {"response": "The answer is (B).", "label": "B", "context": {"choices": ["no", "yes"]}},
        {"response": "Hm, so", "label": "B", "context": {"finish_reason": "length"}},
        {"response": "I pass.", "label": ["A", "B"]},
    ]
    done = run("grade", "mmlu", stdin="".join(json.dumps(row) + "\n" for row in rows))
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert verdicts[0] == {
        "status": "correct",
        "score": 1.0,
        "extracted": "B",
        "rule": "answer-is",
    }
    assert [verdict["status"] for verdict in verdicts[1:]] == ["truncated", "unparsed"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["grade", "humaneval"], "", "allow it with --allow-code"),
        (["grade", "agieval", "--profile", "lm-eval"], "", "has no rule for 'agieval'"),
        (["grade", "mmlu"], '{"response": "A", "label": "A"}\n{\n', "line 2 of standard input"),
        (["grade", "gsm8k"], '{"response": "A", "label": "A"}\n', "is not one number"),
        (["rescore", "nowhere"], "", "give a folder that `ochat-eval run` wrote"),
        (["report", "nowhere"], "", "finish the run"),
        (
            ["run", "--base-url", "http://127.0.0.1:9", "--model", "m", "--suite", "sample",
             "--output", "never-made"],
            "",
            "no server answers at http://127.0.0.1:9/v1",
        ),
        (
            ["run", "--base-url", "http://[::1", "--model", "m", "--suite", "sample",
             "--output", "never-made"],
            "",
            "'http://[::1' is no base URL: give one like http://localhost:18888/v1",
        ),
        (
            ["run", "--base-url", "http://localhost:port", "--model", "m", "--suite", "sample",
             "--output", "never-made"],
            "",
            "'http://localhost:port' is no base URL",
        ),
    ],
)  # fmt: skip
def test_an_expected_error_is_one_sentence_and_exit_code_1(
    arguments: list[str], stdin: str, message: str
) -> None:
    done = run(*arguments, stdin=stdin)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("never-made").exists()


def test_a_key_that_cannot_be_sent_is_told_in_one_sentence_without_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first\nsk-second")
    done = run("run", "--base-url", "http://127.0.0.1:9", "--model", "m", "--suite", "sample",
               "--output", "never-made")  # fmt: skip
    assert done.returncode == 1
    assert "give the key alone by --api-key or OPENAI_API_KEY" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "sk-" not in done.stderr + done.stdout
    assert not Path("never-made").exists()


def test_wrong_usage_is_exit_code_2() -> None:
    assert run("run", "--limit", "0").returncode == 2
    assert run().returncode == 2


def test_run_and_report_print_tables_and_exit_3_says_that_answers_are_missing(
    server: Any, questions: list[Question], make_suite: Any, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any], _attempt: int) -> str | web.Response:
        if "condition" not in body:
            return web.Response(status=400)
        return "The answer is (A)." if body["condition"] == "GPT3" else "B"

    server.answer = answer
    suite = make_suite(questions)
    common = ["run", "--base-url", server.url, "--model", "tiny", "--suite", suite]
    for condition in ("GPT4", "GPT3"):
        output = str(tmp_path / condition)
        done = run(*common, "--output", output, "--condition", condition)
        assert done.returncode == 0, done.stderr
        assert "60/60 | accuracy" in done.stderr
        assert f"{condition} / tiny" in done.stdout
    folders = [str(tmp_path / name) for name in ("GPT4", "GPT3")]
    assert "OVERLAP" in run("report", *folders).stdout
    report = json.loads(run("report", "--json", *folders).stdout)
    assert report["runs"][0]["n"] == 60
    assert report["comparisons"][0]["same_questions"]
    failed = run(*common, "--output", str(tmp_path / "x"), "--condition", "")
    assert failed.returncode == 3
    assert "60 of 60 questions got no answer" in failed.stderr


def test_a_killed_run_resumes_to_the_same_summary(
    server: Any, questions: list[Question], make_suite: Any, tmp_path: Path
) -> None:
    server.delay_seconds = 0.02
    arguments = ["run", "--base-url", server.url, "--model", "tiny", "--concurrency", "2",
                 "--suite", make_suite(questions), "--output"]  # fmt: skip
    killed = subprocess.Popen(
        [*COMMAND, *arguments, str(tmp_path / "killed")], stderr=subprocess.DEVNULL
    )
    responses = tmp_path / "killed" / "responses.jsonl"
    deadline = time.monotonic() + 30
    while not (responses.exists() and responses.read_bytes().count(b"\n") >= 10):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "summary.json").exists()
    for name in ("killed", "whole"):
        assert run(*arguments, str(tmp_path / name)).returncode == 0
    summaries = [(tmp_path / name / "summary.json").read_bytes() for name in ("killed", "whole")]
    assert summaries[0] == summaries[1]
