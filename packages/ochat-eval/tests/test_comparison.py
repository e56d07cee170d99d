"""Paired statistics against pencil and simulation, and the gate's exit codes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ochat_eval import Question
from ochat_eval.__main__ import main
from ochat_eval.comparison import compared
from ochat_eval.pairing import Flip, Outcome, Pairing, mcnemar, pair
from ochat_eval.statistics.intervals import mean_of, mean_of_share, wilson
from ochat_eval.statistics.paired import holm, paired_interval
from ochat_eval.statistics.power import detectable, expected_flips, power
from ochat_eval.store import RunFolder, write_lines
from ochat_eval.tally import wilson_interval


def pairing(outcomes: list[tuple[bool, bool]], task: str = "t", cluster: int = 1) -> Pairing:
    rows = tuple(
        Outcome(task=task, cluster=str(i // cluster) if cluster > 1 else "", before=b, after=a)
        for i, (b, a) in enumerate(outcomes)
    )
    flips = tuple(
        Flip(id=str(i), group=task, fixed=a, first="", second="")
        for i, (b, a) in enumerate(outcomes)
        if a != b
    )
    return Pairing(
        n=len(rows),
        left_out=0,
        first_correct=sum(b for b, _ in outcomes),
        second_correct=sum(a for _, a in outcomes),
        flips=flips,
        outcomes=rows,
    )


def write_run(folder: Path, right: dict[str, bool], *, version: int = 1, group: str = "g") -> Path:
    """A finished run folder with the verdicts given."""
    questions = [
        Question(id=name, group=group, family="choice", prompt=f"{name}?", labels=("A",), task="t")
        for name in right
    ]
    manifest = {
        "schema_version": 1,
        "config": {"model": "m"},
        "suite": {"digest": "d"},
        "tasks": {"t": {"version": version}},
    }
    RunFolder.prepare(folder, manifest, questions)
    write_lines(
        folder / "verdicts.jsonl",
        (
            {"id": q.id, "key": q.key, "group": group, "extracted": "A",
             "status": "correct" if right[q.id] else "incorrect"}
            for q in questions
        ),
    )  # fmt: skip
    return folder


def test_a_planted_gain_is_found_as_often_as_power_said() -> None:
    n, gain, flips, seeds = 1319, 0.04, 0.22, 200
    found, said = 0, list[float]()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        kind = rng.random(n)
        fixed, broken = kind < (flips + gain) / 2, kind > 1 - (flips - gain) / 2
        shared = rng.random(n) < 0.7
        outcomes = [
            (bool(b or (s and not f)), bool(f or (s and not b)))
            for f, b, s in zip(fixed, broken, shared, strict=True)
        ]
        one = pairing(outcomes)
        found += one.p_value < 0.05 and one.fixed > one.broken
        said.append(power(n, gain, len(one.flips) / n))
    assert compared(one, draws=2).power(gain) == said[-1]
    assert abs(found / seeds - sum(said) / seeds) < 0.05
    assert abs(found / seeds - power(n, gain, flips)) < 0.05
    assert 0.6 < found / seeds < 0.99, "neither sure nor hopeless, or the test says nothing"


def test_power_of_few_questions_is_the_sum_over_all_outcomes() -> None:
    n, gain, flips = 9, 0.4, 0.6
    win, lose = (flips + gain) / 2, (flips - gain) / 2
    expected = 0.0
    for w in range(n + 1):
        for b in range(n + 1 - w):
            chance = math.comb(n, w) * math.comb(n - w, b) * win**w * lose**b
            chance *= (1 - flips) ** (n - w - b)
            expected += chance * (mcnemar(w, b) < 0.05)
    assert power(n, gain, flips) == pytest.approx(expected, abs=1e-6)
    assert power(n, -gain, flips) == pytest.approx(expected, abs=1e-6)


def test_the_smallest_gain_found_has_just_the_power_wanted() -> None:
    smallest = detectable(1319, 0.2)
    assert smallest is not None
    assert power(1319, smallest, 0.2) == pytest.approx(0.8, abs=0.01)
    assert power(1319, smallest - 0.003, 0.2) < 0.8
    assert detectable(5, 0.2) is None


def test_without_a_gain_the_test_keeps_its_level() -> None:
    assert 0.02 < power(1319, 0.0, 0.2) < 0.05
    assert power(1319, 0.0, 0.0) == 0.0


def test_expected_flips_are_those_of_correlated_answers() -> None:
    assert expected_flips(0.7, 0.7, 1.0) == pytest.approx(0.0)
    assert expected_flips(0.7, 0.7, 0.0) == pytest.approx(2 * 0.7 * 0.3)


def test_holm_by_pencil() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9})
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.9})


def test_the_paired_bootstrap_agrees_with_the_normal_interval_of_many_pairs() -> None:
    differences = [1] * 120 + [-1] * 70 + [0] * 810
    low, high = paired_interval(differences, [""] * 1000, draws=4000)
    error = float(np.std(differences, ddof=1)) / math.sqrt(1000)
    assert low == pytest.approx(0.05 - 1.96 * error, abs=0.002)
    assert high == pytest.approx(0.05 + 1.96 * error, abs=0.002)


def test_questions_of_one_passage_widen_the_interval() -> None:
    differences = [1, 1, 1, 1, 1, -1, -1, -1, -1, -1] * 20
    passages = [str(i // 5) for i in range(200)]
    alone, together = (paired_interval(differences, c) for c in ([""] * 200, passages))
    assert together[1] - together[0] > 1.8 * (alone[1] - alone[0])


def test_a_clustered_error_by_pencil() -> None:
    found = mean_of([8, 6, 7, 3], ["a", "a", "b", "b"])
    # Residuals 2, 0, 1, -3: sums 2 and -2; sqrt(2 / 1 * (4 + 4)) / 4 = 1.
    assert (found.value, found.error, found.clusters) == (6.0, pytest.approx(1.0), 2)
    assert found.interval == (pytest.approx(4.04, abs=1e-3), pytest.approx(7.96, abs=1e-3))


def test_wilson_of_counts_is_the_tallys() -> None:
    assert wilson(0.7, 40) == pytest.approx(wilson_interval(28, 40))
    assert mean_of_share([1.0] * 30).interval == pytest.approx(wilson_interval(30, 30))


def test_holm_keeps_a_lucky_task_from_looking_like_a_gain() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(200):
        p_values = {
            str(task): mcnemar(wins := int(rng.binomial(40, 0.5)), 40 - wins) for task in range(10)
        }
        alarms += min(holm(p_values).values()) < 0.05
    assert alarms / 200 < 0.08


def test_different_tasks_versions_or_questions_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {f"q{i}": True for i in range(5)}
    one = write_run(tmp_path / "one", right)
    for name, other in (
        ("version", write_run(tmp_path / "two", right, version=2)),
        ("different questions", write_run(tmp_path / "three", {"x": True})),
    ):
        assert main(["compare", str(one), str(other)]) == 1
        assert name in capsys.readouterr().err


def test_the_command_tells_tasks_power_and_the_smallest_gain(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {f"q{i}": i % 10 < 6 for i in range(200)}
    after = {name: right or int(name[1:]) % 10 == 6 for name, right in before.items()}
    one, two = write_run(tmp_path / "one", before), write_run(tmp_path / "two", after)
    assert main(["compare", str(one), str(two), "--power", "4", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["fixed"], told["broken"], told["n"]) == (20, 0, 200)
    assert told["difference"] == pytest.approx(0.1)
    assert told["tasks"]["t"]["p_value_holm"] == told["p_value"]
    assert told["power"] == {"gain": 0.04, "power": pytest.approx(power(200, 0.04, 0.1))}
    low, high = told["bootstrap_interval"]
    assert low < 0.1 < high
    assert main(["compare", str(one), str(two), "--power", "4"]) == 0
    assert "power to find a gain of 4 points" in capfd.readouterr().out
    assert main(["compare", "--power", "4", "--n", "1319"]) == 0
    assert "1319 questions" in capfd.readouterr().out
    assert main(["compare", str(one)]) == 1
    assert pair(one, two).fixed == 20


@pytest.mark.parametrize(
    ("lost", "arguments", "code"),
    [
        (0, [], 0),
        (3, [], 0),
        (3, ["--strict"], 5),
        (40, [], 4),
        (40, ["--max-drop", "25"], 0),
        (3, ["--min-accuracy", "99"], 4),
    ],
)
def test_the_gate_fails_drops_beyond_chance_only(
    lost: int, arguments: list[str], code: int, tmp_path: Path
) -> None:
    before = {f"q{i}": True for i in range(200)}
    after = {name: int(name[1:]) >= lost for name in before}
    one, two = write_run(tmp_path / "one", before), write_run(tmp_path / "two", after)
    assert main(["gate", str(one), str(two), *arguments]) == code
    assert main(["gate", str(one), str(tmp_path / "none"), *arguments]) == 1
