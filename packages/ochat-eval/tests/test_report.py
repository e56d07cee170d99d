from __future__ import annotations

import json
from pathlib import Path

import pytest

from ochat_eval import RunFolderError, Tally
from ochat_eval.report import comparisons, read_run, sentence, table


def write_run(folder: Path, condition: str, tally: Tally, digest: str = "d") -> Path:
    folder.mkdir()
    summary = {
        "config": {"condition": condition, "model": "tiny"},
        "suite": {"digest": digest},
        "overall": tally.to_json(),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_run(tmp_path / "good", "GPT4", Tally(correct=90, incorrect=8, unparsed=2))


def test_the_table_shows_label_accuracy_interval_and_problems(good: Path) -> None:
    row = table([read_run(good)]).splitlines()[1]
    assert row.split("  ")[0] == "GPT4 / tiny"
    assert "90.0 %" in row
    assert "82.6 to 94.5 %" in row
    assert row.split()[-3:] == ["2", "0", "0"]


def test_intervals_apart_and_overlapping_are_said_in_words(good: Path, tmp_path: Path) -> None:
    bad = write_run(tmp_path / "bad", "GPT3", Tally(correct=40, incorrect=60))
    near = write_run(tmp_path / "near", "", Tally(correct=85, incorrect=15))
    apart, together = map(sentence, comparisons([read_run(p) for p in (good, bad, near)]))
    assert "DO NOT OVERLAP: GPT4 / tiny is better by 50.0 points" in apart
    assert "default condition / tiny OVERLAP: a gap of 5.0 points may be chance" in together


def test_the_order_of_the_runs_does_not_matter(good: Path, tmp_path: Path) -> None:
    bad = write_run(tmp_path / "bad", "GPT3", Tally(correct=40, incorrect=60))
    (found,) = comparisons([read_run(bad), read_run(good)])
    assert "DO NOT OVERLAP: GPT4 / tiny is better by 50.0 points" in sentence(found)


def test_runs_over_different_questions_are_not_compared(good: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", "GPT3", Tally(correct=1, incorrect=9), digest="e")
    (found,) = comparisons([read_run(good), read_run(other)])
    assert sentence(found).startswith("NOT COMPARABLE")


def test_a_run_without_graded_responses_has_no_accuracy(good: Path, tmp_path: Path) -> None:
    empty = read_run(write_run(tmp_path / "empty", "", Tally(error=3)))
    assert " - " in table([empty])
    assert sentence(comparisons([read_run(good), empty])[0]).startswith("NO COMPARISON")


@pytest.mark.parametrize("content", ["{}", "[]", '{"config": {}, "suite": {}, "overall": {}}', "{"])
def test_a_corrupt_summary_ends_in_one_sentence_with_the_remedy(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(RunFolderError, match="rescore"):
        read_run(tmp_path)
