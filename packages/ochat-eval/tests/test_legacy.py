from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "ochat.evaluation.run_eval"]
ROW = {"question": "Is it? (A) x (B) y", "options": ["A", "B"], "label": ["B"]}


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture
def eval_data(tmp_path: Path) -> Path:
    """Three files in the original's layout."""
    data = tmp_path / "eval" / "eval_data"
    for name in ("zs/agieval/sat", "zs/bbh_mc_orca/navigate", "fs_cothub/mmlu/law"):
        file = data / f"{name}.jsonl"
        file.parent.mkdir(parents=True)
        rows = [ROW | {"question": f"{name} {i} (A) x (B) y"} for i in range(3)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


def always_b(_body: dict[str, Any], _attempt: int) -> str:
    return "B is right; "


def test_the_published_command_writes_what_it_always_wrote(server: Any, eval_data: Path) -> None:
    server.answer = always_b
    done = run(
        "--model", "tiny", "--condition", "GPT4 Correct", "--data_path", eval_data,
        "--eval_sets", "zs/agieval", "fs_cothub/mmlu", "--parallel", 4,
        OPENAI_BASE_URL=server.url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((eval_data.parent / "eval_results/tiny_GPT4 Correct.json").read_text())
    assert [r["task_type"] for r in results] == ["fs_cothub/mmlu"] * 3 + ["zs/agieval"] * 3
    assert results[3]["task_name"] == "zs/agieval/sat"
    assert all(r["response"] == "B is right; " for r in results)
    # As the original graded: MMLU without "answer is" is C, AGIEval takes the first capital.
    assert [r["is_correct"] for r in results] == [False] * 3 + [True] * 3
    assert [r["is_matched"] for r in results] == [False] * 3 + [True] * 3
    assert {body["condition"] for body in server.bodies} == {"GPT4 Correct"}


def test_flags_whose_meaning_is_gone_are_answered(server: Any, eval_data: Path) -> None:
    done = run(
        "--model", "tiny", "--data-path", eval_data, "--continue-from", "old.json",
        "--output-file", eval_data.parent / "out.json", OPENAI_BASE_URL=server.url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--continue-from: the same command resumes by itself." in done.stderr
    assert (eval_data.parent / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nothing"], "set OPENAI_BASE_URL"),
        (["--model", "m", "--data-path", "nowhere"], "there is no suite 'nowhere'"),
    ],
)
def test_a_problem_is_one_sentence(arguments: list[str], message: str) -> None:
    address = "" if "OPENAI" in message else "http://127.0.0.1:9"
    done = run(*arguments, OPENAI_BASE_URL=address)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_sets_that_name_no_file_are_told(server: Any, eval_data: Path) -> None:
    done = run(
        "--model", "tiny", "--data-path", eval_data, "--eval-sets", "zs/gpqa",
        OPENAI_BASE_URL=server.url,
    )  # fmt: skip
    assert "begins with zs/gpqa" in done.stderr


def test_no_package_owns_the_old_name() -> None:
    import ochat

    assert ochat.__file__ is None
