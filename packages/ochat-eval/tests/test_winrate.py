"""Win rates of real, published judgements, and of files that are hard to read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ochat_eval.__main__ import main

ANNOTATORS = {
    "alpaca_eval_gpt4": "alpaca_eval_gpt4_leaderboard.csv",
    "weighted_alpaca_eval_gpt4_turbo": "weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
}


def told(capfd: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["winrate", *map(str, arguments)]) == 0
    return json.loads(capfd.readouterr().out)


def published(folder: Path, annotator: str, model: str) -> dict[str, str]:
    with (folder / ANNOTATORS[annotator]).open() as lines:
        return next(row for row in csv.DictReader(lines) if row[""] == model)


def rows(*preferences: object) -> list[dict[str, object]]:
    return [
        {"instruction": f"i{n}", "output_1": "a" * 9, "output_2": "b" * (n + 4), "preference": p}
        for n, p in enumerate(preferences)
    ]


def test_published_win_rates_errors_and_counts_come_out_exactly(
    test_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = test_data / "alpaca_eval"
    files = sorted((folder / "annotations").glob("*.json"))
    assert files
    for file in files:
        model, annotator = file.name.removesuffix(".json").rsplit(".", 1)
        table, found = published(folder, annotator, model), told(capfd, file)
        for name in ("win_rate", "standard_error", "discrete_win_rate"):
            assert found[name] == pytest.approx(float(table[name]), rel=1e-12), (file.name, name)
        for name in ("n_wins", "n_wins_base", "n_draws", "n_total"):
            assert found[name] == int(table[name]), (file.name, name)


def test_our_length_control_is_the_published_one_where_lengths_overlap(
    test_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = test_data / "alpaca_eval"
    for model in ("alpaca-7b", "vicuna-13b"):
        table = published(folder, "alpaca_eval_gpt4", model)
        found = told(capfd, folder / "annotations" / f"{model}.alpaca_eval_gpt4.json")
        gap = found["length_controlled_winrate"] - float(table["length_controlled_winrate"])
        assert abs(gap) < 0.6


def test_difficulty_from_another_model_comes_nearer_to_the_published_length_control(
    test_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = test_data / "alpaca_eval"
    files = [
        folder / "annotations" / f"{model}.weighted_alpaca_eval_gpt4_turbo.json"
        for model in ("alpaca-7b", "vicuna-13b")
    ]
    for model, file, other in (("alpaca-7b", *files), ("vicuna-13b", *reversed(files))):
        table = published(folder, "weighted_alpaca_eval_gpt4_turbo", model)
        target = float(table["length_controlled_winrate"])
        plain = told(capfd, file)
        helped = told(capfd, file, "--difficulty-from", other)
        gaps = [abs(each["length_controlled_winrate"] - target) for each in (plain, helped)]
        assert gaps[1] < gaps[0]
        low, high = helped["length_controlled_interval"]
        assert low <= target <= high


def test_counts_of_a_small_file_are_those_of_a_pencil(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(rows(1, 2, 2, 0, 1.5, None, 1.25, float("nan"))))
    found = told(capfd, file)
    values = np.array([0, 1, 1, 0.5, 0.5, 0.25])
    assert found["win_rate"] == pytest.approx(100 * values.mean())
    assert found["standard_error"] == pytest.approx(100 * values.std(ddof=1) / 6**0.5)
    counts = [found[name] for name in ("n_wins", "n_wins_base", "n_draws", "n_total")]
    assert counts == [2, 2, 2, 6]
    assert found["discrete_win_rate"] == 50.0


@pytest.mark.parametrize("preference", [1, 2, 1.5])
def test_a_judge_of_one_mind_gives_finite_figures(
    preference: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(rows(*[preference] * 20)))
    found = told(capfd, file)
    assert found["win_rate"] == 100 * (preference - 1)
    low, high = found["win_rate_interval"]
    assert 0 <= low < high <= 100
    low, high = found["length_controlled_interval"]
    assert 0 <= low <= found["length_controlled_winrate"] <= high <= 100
    assert high - low > 10, "twenty judgements alone leave much open"


def test_one_row_alone_has_no_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(rows(2)))
    found = told(capfd, file)
    assert (found["n_total"], found["standard_error"]) == (1, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "no preference"),
        ('[{"instruction": "x"}]', "row 1: no field 'preference'"),
        (json.dumps(rows(1, 3)), "row 2: the preference is none"),
        (json.dumps(rows("good")), "row 1: the preference is none"),
        ("[1]", "expected a list of JSON objects"),
        ("{", "line 1: not valid JSON"),
    ],
)
def test_what_is_no_file_of_annotations_is_refused_in_one_sentence(
    content: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    assert main(["winrate", str(file)]) == 1
    error = capfd.readouterr().err
    assert said in error
    assert error.count("\n") == 1
