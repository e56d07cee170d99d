from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ochat_eval import EvalError, FamilyError, Question, QuestionError, RunConfig, run_suite
from ochat_eval.bridge import export_run, export_suite, import_samples
from ochat_eval.bridge.running import HarnessRun, run_harness


def sample(doc_id: int, response: str, target: str, score: float, **more: Any) -> dict[str, Any]:
    """A row as lm-eval 0.4.13 writes it with --log_samples."""
    chat = json.dumps([{"role": "user", "content": f"question {doc_id}"}])
    return {
        "doc_id": doc_id,
        "doc": {"question": f"question {doc_id}"},
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": chat, "arg_1": {"until": ["Q:"]}}},
        "resps": [[response]],
        "filtered_resps": ["x"],
        "filter": "strict-match",
        "metrics": ["exact_match"],
        "exact_match": score,
    } | more


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


NAME = "samples_gsm8k_cot_2026-01-02T03-04-05.678901.jsonl"


def test_samples_become_a_run_folder_graded_by_our_rules(tmp_path: Path) -> None:
    rows = [
        sample(0, "The answer is 1,234.", "so #### 1234", 0.0),
        sample(0, "The answer is 1,234.", "so #### 1234", 1.0, filter="flexible-extract"),
        sample(1, "I do not know", "so #### 7", 0.0),
        sample(2, "The answer is -5.", "so #### 5", 1.0),
    ]
    found = import_samples([write(tmp_path / NAME, *rows)], tmp_path / "run")
    overall: Any = found.summary["overall"]
    assert (overall["n"], overall["correct"], overall["unparsed"]) == (3, 1, 1)
    assert found.scores["gsm8k_cot, strict-match, exact_match"] == pytest.approx(1 / 3)
    assert found.scores["gsm8k_cot, flexible-extract, exact_match"] == 1.0
    first = json.loads((tmp_path / "run/questions.jsonl").read_text().splitlines()[0])
    assert (first["question"], first["label"]) == ("question 0", ["1234"])


def test_what_is_no_sample_file_is_told(tmp_path: Path) -> None:
    odd = write(tmp_path / "samples_gsm8k.jsonl", {"doc": {}, "arguments": [], "resps": []})
    with pytest.raises(QuestionError, match="no file of samples of a generating task"):
        import_samples([odd], tmp_path / "run")
    with pytest.raises(FamilyError, match="'strange' is not known: give --family"):
        import_samples([write(tmp_path / "strange.jsonl", sample(0, "", "1", 0))], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_out_and_comes_back_with_the_same_verdicts(
    config: RunConfig, tmp_path: Path
) -> None:
    summary: Any = run_suite(config)
    files = export_run(config.output, tmp_path / "out")
    samples = [file for file in files if file.name.startswith("samples_")]
    assert len(samples) == 2
    back: Any = import_samples(samples, tmp_path / "back").summary
    for status in ("correct", "incorrect", "unparsed"):
        assert back["overall"][status] == summary["overall"][status]
    results = json.loads(files[-1].read_text())["results"]
    assert results["letters"]["exact_match,ochat"] == summary["groups"]["letters"]["accuracy"]


def test_gated_questions_are_not_exported(
    config: RunConfig, make_suite: Any, tmp_path: Path
) -> None:
    from dataclasses import replace

    secret = Question(
        id="s", group="letters", family="choice", prompt="secret?", labels=("A",), gated=True
    )
    run_suite(replace(config, suite=make_suite([secret])))
    files = export_run(config.output, tmp_path / "out")
    assert "secret" not in "".join(file.read_text() for file in files)


def test_a_suite_becomes_tasks_of_lm_eval(questions: list[Question], tmp_path: Path) -> None:
    names = export_suite(questions, tmp_path / "tasks")
    assert names == ["ochat_numbers", "ochat_letters"]
    task = json.loads((tmp_path / "tasks/ochat_numbers.yaml").read_text())  # JSON is YAML
    data = Path(task["dataset_kwargs"]["data_files"]["test"])
    assert len(data.read_text().splitlines()) == 30
    assert task["doc_to_text"] == "{{question}}"


def test_without_lm_eval_the_way_to_get_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ochat_eval.bridge.running.find_spec", nothing)
    run = HarnessRun(tasks="t", base_url="http://127.0.0.1:9", model="m", output=tmp_path)
    with pytest.raises(EvalError, match=r"ochat-eval\[lm-eval\]"):
        run_harness(run)


def nothing(_name: str) -> None:
    return None


def test_a_harness_that_fails_or_writes_nothing_is_told(tmp_path: Path) -> None:
    failing = tmp_path / "python"
    for script, message in (("exit 3", "ended with 3"), ("exit 0", "wrote no samples")):
        failing.write_text(f"#!/bin/sh\n{script}\n")
        failing.chmod(0o700)
        run = HarnessRun(
            tasks="t", base_url="http://127.0.0.1:9", model="m", output=tmp_path, python=failing
        )
        with pytest.raises(EvalError, match=message):
            run_harness(run)


def test_the_harness_itself_runs_our_questions(
    config: RunConfig, questions: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = export_suite(questions, tmp_path / "tasks")
    run = HarnessRun(
        tasks=",".join(names), base_url=config.base_url, model="tiny", output=tmp_path / "raw",
        include=tmp_path / "tasks", python=Path(sys.executable),
    )  # fmt: skip
    ours: Any = run_suite(config)
    theirs: Any = import_samples(run_harness(run), tmp_path / "run").summary
    assert theirs["overall"]["correct"] == ours["overall"]["correct"]
