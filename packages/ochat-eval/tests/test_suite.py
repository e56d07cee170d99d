from __future__ import annotations

from pathlib import Path

import pytest

from ochat_eval import QuestionError, load_suite, read_questions, sample_questions

ROW = '{"question": "Q: 1+1? (A) 1 (B) 2", "label": "B", "options": ["A", "B"]}\n'


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_the_shipped_sample_can_be_read_and_graded() -> None:
    suite = load_suite("sample")
    assert len(suite.questions) == len(sample_questions().read_text().splitlines())
    assert {question.family for question in suite.questions} <= {"choice", "number"}


def test_the_originals_files_are_read_unchanged(test_data: Path) -> None:
    folder = test_data / "openchat_eval"
    counts = {}
    for part in ("zs", "fs_cothub/mmlu"):
        for question in load_suite(str(folder / part)).questions:
            counts[question.family] = counts.get(question.family, 0) + 1
            assert all(label.strip("()") in "ABCDEFGHIJ" for label in question.labels)
    assert counts == {"truthfulqa": 684, "bbh_zs": 928, "agieval": 1125, "mmlu": 300}


def test_option_texts_of_the_originals_prompts_are_recognised(test_data: Path) -> None:
    path = test_data / "openchat_eval/zs/truthfulqa_orca/truthfulqa_mc.jsonl"
    question = next(iter(read_questions(path)))
    assert question.grade("Nauru is the smallest country in the world that is at least one square "
                          "mile in area.").score == 1.0  # fmt: skip


def test_every_file_of_the_original_is_gradable(test_data: Path) -> None:
    questions = load_suite(str(test_data / "openchat_eval/fs_cothub/bbh")).questions
    assert {question.family for question in questions} == {"bbh_cot"}
    assert len(questions) == 1000


def test_ids_and_groups_come_from_file_and_folder_where_rows_have_none(tmp_path: Path) -> None:
    write(tmp_path / "zs/agieval/sat.zero-shot.jsonl", ROW * 2)
    write(tmp_path / "mmlu.jsonl", '{"id": "x", "group": "mine", ' + ROW[1:])
    found = [(q.id, q.group, q.family) for q in load_suite(str(tmp_path)).questions]
    assert found == [
        ("x", "mine", "mmlu"),
        ("zs/agieval/sat:1", "zs/agieval/sat", "agieval"),
        ("zs/agieval/sat:2", "zs/agieval/sat", "agieval"),
    ]


def test_the_limit_counts_per_file_and_changes_the_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "mmlu.jsonl", ROW * 3)
    assert len(load_suite(path, limit=2).questions) == 2
    assert load_suite(path, limit=2).digest != load_suite(path).digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + "{torn\n", r"mmlu.jsonl, line 2: not valid JSON .*correct or delete"),
        ('{"label": "A"}\n', r"line 1: the field 'question' .* missing"),
        ('{"question": "x"}\n', r"line 1: the field 'label' must be"),
        ('{"question": "x", "label": []}\n', r"line 1: the field 'label' is empty"),
        ("[1]\n", r"line 1: expected a JSON object"),
        ("", r"holds no questions"),
        ('{"question": "x", "label": "no", "options": ["yes", "maybe"]}\n', "neither a letter"),
        ('{"id": 1, ' + ROW[1:] + '{"id": 1, ' + ROW[1:], r"ids must be unique"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_remedy(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path / "mmlu.jsonl", text)
    with pytest.raises(QuestionError, match=message):
        load_suite(path)


def test_a_row_without_any_family_says_how_to_give_one(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.jsonl", ROW)
    with pytest.raises(QuestionError, match="give --family"):
        load_suite(path)
    assert load_suite(path, family="choice").questions[0].family == "choice"


def test_a_missing_suite_says_what_to_give() -> None:
    with pytest.raises(QuestionError, match="there is no suite 'nowhere'"):
        load_suite("nowhere")
