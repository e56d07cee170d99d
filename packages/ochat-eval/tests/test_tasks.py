from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ochat_eval import CodeNotAllowedError, QuestionError, SuiteOptions, TaskError, load_suite
from ochat_eval.tasks import SUITES, find_tasks, read_task, shipped_tasks, task_questions

MINE = """\
id = "mine"
version = 3
family = "choice"
title = "Mine"

[jsonl]
files = ["items.jsonl"]

[fields]
id = "name"
question = "q.text"
options = "answers"
label = "gold"
label_is = "index"

[prompt]
template = "Q: {{question}}\\n{{options}}\\nA: one of A to {{last_letter}}:"

[sampling]
max_tokens = 7
stop = ["\\n\\n"]
"""
ITEM = {"name": "n1", "q": {"text": "Is {{label}} water wet?"}, "answers": ["no", "yes"], "gold": 1}


def write(folder: Path, toml: str = MINE, *items: object) -> Path:
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "mine.toml").write_text(toml)
    return folder / "mine.toml"


def test_every_shipped_task_is_readable_and_in_the_suite() -> None:
    tasks = [read_task(path) for path in shipped_tasks().values()]
    assert {task.id for task in tasks} == set(shipped_tasks()) == set(SUITES["vllm-eval"])
    assert all(task.max_tokens and task.licence and task.items for task in tasks)
    assert [task.id for task in tasks if task.gated] == ["gpqa"]
    assert len({task.digest for task in tasks}) == len(tasks)


def test_a_task_of_ones_own_is_a_file(tmp_path: Path) -> None:
    suite = load_suite(str(write(tmp_path, MINE, ITEM)))
    [question] = suite.questions
    assert question.prompt == (
        "Q: Is {{label}} water wet?\n(A) no (B) yes\nA: one of A to B:"
    )  # what the data holds is never filled in again
    assert (question.id, question.group, question.task) == ("mine/n1", "mine/items", "mine")
    assert (question.labels, question.options) == (("B",), ("no", "yes"))
    assert (question.max_tokens, question.stop) == (7, ("\n\n",))
    assert question.grade("Yes").score == 1.0
    assert suite.tasks[0].version == 3


def test_the_hash_covers_what_changes_scores_and_not_the_title(tmp_path: Path) -> None:
    digest = read_task(write(tmp_path)).digest
    assert read_task(write(tmp_path, MINE.replace("Mine", "Yours"))).digest == digest
    assert read_task(write(tmp_path, MINE.replace("= 7", "= 8"))).digest != digest
    assert read_task(write(tmp_path, MINE.replace("Q: ", "Q:"))).digest != digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "mine"', "", r"mine\.toml: 'id' must be a text, not nothing"),
        ("version = 3", 'version = "x"', "'version' must be a whole number above 0, not 'x'"),
        ("choice", "choise", "there is no family 'choise'"),
        ('"index"', '"idx"', r"\[fields\]: label_is 'idx' is none of text"),
        ("max_tokens", "max_token", r"\[sampling\]: unknown field 'max_token'"),
        ("[sampling]", "[[sampling]]", "'sampling' must be a table"),
        ("[sampling]", "[sampled]", "unknown field 'sampled'"),
        ("[jsonl]\n", "[jsonl\n", "no valid TOML"),
        ('[jsonl]\nfiles = ["items.jsonl"]\n', "", "names no items"),
    ],
)
def test_a_wrong_file_is_told_by_place_and_remedy(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in MINE
    with pytest.raises(TaskError, match=message):
        read_task(write(tmp_path, MINE.replace(old, new)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": "x"}, "item 1 of mine/items: .* must give positions"),
        ({"answers": "no"}, "must be a list of options"),
        ({"q": 1}, r"there is no field 'q\.text'"),
    ],
)
def test_a_row_that_does_not_fit_is_told_by_its_number(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(QuestionError, match=message):
        load_suite(str(write(tmp_path, MINE, ITEM | change)))


@pytest.mark.parametrize(
    ("form", "value", "label"),
    [
        ("index", 1, "B"), ("index", [0, 1], "A"), ("one-hot", [0, 1], "B"), ("text", "yes", "B"),
        ("text", "(B)", "B"), ("letter", "B", "B"), ("after:####", "so #### B", "B"),
        ("boxed", "so \\boxed{yes}", "B"),
    ],
)  # fmt: skip
def test_labels_come_in_many_forms(tmp_path: Path, form: str, value: object, label: str) -> None:
    toml = MINE.replace('"index"', f'"{form}"')
    [question] = load_suite(str(write(tmp_path, toml, ITEM | {"gold": value}))).questions
    assert question.labels[0] == label


def test_options_are_shuffled_the_same_way_each_time_and_the_label_follows(tmp_path: Path) -> None:
    toml = MINE.replace("[prompt]", "shuffle_options = true\n[prompt]")
    items = [ITEM | {"name": f"n{i}", "answers": ["no", "yes", "maybe"]} for i in range(20)]
    first, second = (load_suite(str(write(tmp_path, toml, *items))) for _ in range(2))
    assert first.digest == second.digest
    places = {question.labels[0] for question in first.questions}
    assert places == {"A", "B", "C"}
    for question in first.questions:
        assert question.options["ABC".index(question.labels[0])] == "yes"


def test_worked_examples_are_rows_of_their_own(tmp_path: Path) -> None:
    toml = MINE.replace('"Q: {{q', '"{{shots}}Q: {{q') + (
        '[shots]\nsplit = "train"\ncount = 2\ntemplate = "E: {{row.name}} {{label}}\\n"\n'
        'remove = "n"\n'
    )
    path = write(tmp_path, toml, ITEM)
    shots = [ITEM | {"name": f"n{i}"} for i in range(3)]
    (tmp_path / "items.shots.jsonl").write_text("".join(json.dumps(s) + "\n" for s in shots))
    [question] = load_suite(str(path)).questions
    assert question.prompt.startswith("E: 0 B\nE: 1 B\nQ: Is")


def test_the_originals_folders_are_found_by_the_suite(test_data: Path) -> None:
    options = SuiteOptions(data=test_data / "openchat_eval", limit=5)
    suite = load_suite("agieval,bbh_mc,truthfulqa,bbh_cot,mmlu", options=options)
    assert len(suite.questions) == 5 * (3 + 4 + 1 + 4 + 3)
    assert {question.task for question in suite.questions} == {task.id for task in suite.tasks}
    assert suite.questions[0].group == "agieval/aqua-rat"
    assert {question.max_tokens for question in suite.questions} == {1024, 2048}


def test_what_is_missing_is_an_error_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "zs/agieval").mkdir(parents=True)
    row = {"question": "(A) x (B) y", "label": ["A"], "options": ["A", "B"]}
    (tmp_path / "zs/agieval/sat.jsonl").write_text(json.dumps(row))
    with pytest.raises(QuestionError, match=r"ochat-eval\[hf\]"):
        load_suite("agieval,gsm8k", options=SuiteOptions(data=tmp_path))
    options = SuiteOptions(data=tmp_path, skip_missing=True)
    suite = load_suite("vllm-eval", options=options)
    assert [task.id for task in suite.tasks] == ["agieval"]
    assert len(suite.left_out) == 8
    assert any(reason.startswith("humaneval: grading it runs") for reason in suite.left_out)


def test_programs_need_to_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(CodeNotAllowedError, match="--allow-code"):
        load_suite("humaneval", options=SuiteOptions(data=tmp_path))


def test_an_unknown_task_brings_the_nearest_name() -> None:
    with pytest.raises(TaskError, match="did you mean gsm8k"):
        find_tasks("gsm8")
    with pytest.raises(TaskError, match="named twice"):
        find_tasks("gsm8k,vllm-eval")


def test_a_data_set_is_read_through_the_hubs_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets", reason="the extra hf")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [ITEM | {"name": f"n{i}"} for i in range(3)]
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    toml = MINE.replace(
        '[jsonl]\nfiles = ["items.jsonl"]', f'[hf]\ndataset = "{folder}"\nsplit = "test"'
    )
    path = tmp_path / "hub.toml"
    path.write_text(toml)
    questions = list(task_questions(read_task(path), limit=2))
    assert [question.id for question in questions] == ["mine/n0", "mine/n1"]
    assert questions[0].options == ("no", "yes")
