"""What a person gives wrongly is told in one sentence that names the place; nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval import Question, RunConfig, RunFolderError, SuiteOptions, load_suite, run_suite
from ochat_eval.__main__ import main
from ochat_eval.bridge import export_run
from ochat_eval.summary import rescore

Said = pytest.CaptureFixture[str]

TASK = """\
id = "mine"
version = 1
family = "choice"
[jsonl]
files = ["items.jsonl"]
[fields]
question = "q"
options = "o"
label = "gold"
label_is = "text"
[prompt]
template = "{{question}} {{options}}"
"""


def refused(capfd: Said, *words: object) -> str:
    """The one sentence of a command that fails as expected."""
    assert main([str(word) for word in words]) == 1
    told = capfd.readouterr()
    assert told.err.count("\n") == 1
    assert told.err.startswith("ochat-eval: ")
    return told.err


@pytest.mark.parametrize(
    ("row", "template", "message"),
    [
        ({"q": "?", "o": ["no", "yes"], "gold": "perhaps"}, "", "neither a letter nor the text"),
        ({"q": "?", "o": ["no", "yes"], "gold": " "}, "", "'gold' gives no label"),
        ({"q": "?", "o": ["x"] * 30, "gold": "x"}, "", "30 options are more than"),
        ({"q": "?", "o": ["x"], "gold": "x"}, "{{qestion}}", "{{qestion}}, which is not known"),
        ([1], "", "items.jsonl, line 1: expected a JSON object"),
        ("torn", "", "items.jsonl, line 1"),
    ],
)
def test_an_item_that_does_not_fit_its_task(
    tmp_path: Path, capfd: Said, row: object, template: str, message: str
) -> None:
    raw = '{"q": "torn' if row == "torn" else json.dumps(row)
    (tmp_path / "items.jsonl").write_text(f"{raw}\n")
    task = tmp_path / "mine.toml"
    task.write_text(TASK.replace("{{question}} {{options}}", template) if template else TASK)
    said = refused(capfd, "run", "--base-url", "http://127.0.0.1:9", "--model", "m",
                   "--suite", task, "--output", tmp_path / "out")  # fmt: skip
    assert message in said
    assert not (tmp_path / "out").exists()


def test_items_that_are_nowhere_are_asked_for(tmp_path: Path, capfd: Said) -> None:
    task = tmp_path / "mine.toml"
    task.write_text(TASK)
    command = ["run", "--base-url", "http://127.0.0.1:9", "--model", "m", "--suite", task,
               "--output", tmp_path / "out"]  # fmt: skip
    assert "cannot read" in refused(capfd, *command)
    task.write_text(TASK.replace('[jsonl]\nfiles = ["items.jsonl"]\n', ""))
    assert "names no items; add [jsonl] files" in refused(capfd, *command)


def test_lists_of_tasks_can_be_read_by_programs_and_begin_ones_own(capfd: Said) -> None:
    assert main(["tasks", "--show", "gsm8k"]) == 0
    assert 'id = "gsm8k"' in capfd.readouterr().out
    assert main(["tasks", "vllm-eval", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {"gsm8k", "mmlu"} <= {row["id"] for row in rows}
    assert all(len(row["digest"]) == 64 for row in rows)


def test_the_version_is_that_of_the_package(capsys: Said) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("ochat-eval 0.")


def test_the_bridge_commands_take_a_run_out_and_in_again(
    config: RunConfig, tmp_path: Path, capfd: Said
) -> None:
    run_suite(config)
    ours = json.loads((config.output / "summary.json").read_text())
    assert main(["bridge", "export", str(config.output), "--output", str(tmp_path / "out")]) == 0
    files = capfd.readouterr().out.split()
    again = export_run(config.output, tmp_path / "again")
    assert [Path(file).name for file in files] == [path.name for path in again]
    samples = [file for file in files if Path(file).name.startswith("samples_")]
    for number, file in enumerate(samples):
        family = "number" if "number" in Path(file).name else "choice"
        back = tmp_path / f"back{number}"
        command = ["bridge", "import", file, "--output", str(back), "--family", family]
        assert main(command) == 0
    graded = [
        json.loads((tmp_path / f"back{number}" / "summary.json").read_text())["overall"]["correct"]
        for number in range(len(samples))
    ]
    assert sum(graded) == ours["overall"]["correct"]
    assert "lm-eval's own score" in capfd.readouterr().out


def test_the_bridge_makes_tasks_of_a_suite(
    questions: list[Question], make_suite: Any, tmp_path: Path, capfd: Said
) -> None:
    suite = make_suite(questions)
    assert main(["bridge", "export", suite, "--output", str(tmp_path / "out"), "--limit", "3"]) == 0
    assert "--tasks ochat_" in capfd.readouterr().out
    exported = list((tmp_path / "out").glob("*.jsonl"))
    limited = load_suite(suite, options=SuiteOptions(limit=3)).questions
    assert sum(len(f.read_text().splitlines()) for f in exported) == len(limited)


@pytest.mark.parametrize("command", ["gate", "compare"])
def test_runs_that_are_none_are_refused(command: str, tmp_path: Path, capfd: Said) -> None:
    assert "nowhere" in refused(capfd, command, tmp_path / "nowhere", tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["1.5", "-0.1", "often"])
def test_a_share_is_from_0_to_1(text: str, capsys: Said) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["compare", "a", "b", "--accuracy", text])
    assert leaving.value.code == 2
    assert f"{text!r} is not a number from 0 to 1" in capsys.readouterr().err


def test_a_run_folder_of_another_layout_is_refused(config: RunConfig) -> None:
    run_suite(config)
    manifest, responses = config.output / "run.json", config.output / "responses.jsonl"
    kept = manifest.read_text(), responses.read_text()
    manifest.write_text(json.dumps(json.loads(kept[0]) | {"schema_version": 99}))
    with pytest.raises(RunFolderError, match="layout version 99, this version reads"):
        rescore(config.output)
    manifest.write_text(kept[0])
    responses.write_text('{"key": "k", "colour": "red"}\n')
    with pytest.raises(RunFolderError, match="another layout"):
        rescore(config.output)
    responses.write_text("")
    with pytest.raises(RunFolderError, match="holds no responses yet"):
        rescore(config.output)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[1, 2]", "no JSON object"),
        ('{"choices": []}', "speaks another protocol"),
        ('{"choices": [{"message": 3}]}', "speaks another protocol"),
    ],
)
def test_an_answer_in_another_form_is_an_error_with_a_reason(
    config: RunConfig, server: Any, body: str, says: str
) -> None:
    def answer(_body: dict[str, Any], _attempt: int) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    server.answer = answer
    summary: Any = run_suite(config)
    assert (summary["overall"]["n"], summary["overall"]["errors"]) == (0, 60)
    first = json.loads((config.output / "responses.jsonl").read_text().splitlines()[0])
    assert says in first["error"]
