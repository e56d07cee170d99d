from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ochat_eval import Question, RunConfig, RunFolderError, run_suite
from ochat_eval.pairing import Pairing, mcnemar, pair


def test_mcnemar_is_the_two_sided_binomial_test() -> None:
    for fixed, broken in product(range(9), range(9)):
        n, fewer = fixed + broken, min(fixed, broken)
        expected = min(1.0, 2 * sum(math.comb(n, i) for i in range(fewer + 1)) / 2**n)
        assert mcnemar(fixed, broken) == pytest.approx(expected)
    assert mcnemar(2, 10) == pytest.approx(0.0385742, rel=1e-5)
    assert mcnemar(5000, 5100) == pytest.approx(0.324468, rel=1e-3)
    assert 0 <= mcnemar(0, 5000) < 1e-300


@pytest.fixture
def two_runs(config: RunConfig, server: Any, questions: list[Question]) -> tuple[Path, Path]:
    """Two runs that disagree on four questions, and a question that one could not ask."""
    run_suite(config)
    good = server.answer

    def worse(body: dict[str, Any], attempt: int) -> object:
        prompt = server.prompt_of(body)
        if prompt == questions[0].prompt:
            from aiohttp import web

            return web.Response(status=400)
        return "I pass." if prompt in (q.prompt for q in questions[1:5]) else good(body, attempt)

    server.answer = worse
    other = replace(config, output=config.output.with_name("other"))
    run_suite(other)
    return config.output, other.output


def test_pairs_count_only_what_both_answered(
    two_runs: tuple[Path, Path], questions: list[Question], is_right: Any
) -> None:
    found = pair(*two_runs)
    broken = sum(map(is_right, questions[1:5]))
    assert (found.n, found.left_out, found.fixed, found.broken) == (59, 1, 0, broken)
    assert found.difference == -broken / 59
    assert {flip.id for flip in found.flips} == {q.id for q in questions[1:5] if is_right(q)}
    assert all(flip.second == "unparsed" for flip in found.flips)
    low, high = found.interval
    assert low < -broken / 59 < high


def test_the_command_says_it_in_words_and_in_json(two_runs: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "ochat_eval", "compare", *map(str, two_runs)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "exact McNemar p =" in said
    assert "broken" in said
    told = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert told["n"] == 59
    assert len(told["flips"]) == told["broken"]


def test_runs_of_different_questions_or_task_versions_are_refused(
    two_runs: tuple[Path, Path], config: RunConfig
) -> None:
    third = replace(config, output=config.output.with_name("third"), limit=5)
    run_suite(third)
    with pytest.raises(RunFolderError, match="asked different questions"):
        pair(two_runs[0], third.output)
    manifest = json.loads((two_runs[1] / "run.json").read_text())
    manifest["tasks"] = {"gsm8k": {"version": 2, "digest": "x"}}
    (two_runs[1] / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match="differ in the task 'gsm8k'"):
        pair(*two_runs)


def test_nothing_in_common_is_no_comparison() -> None:
    empty = Pairing(n=0, left_out=3, first_correct=0, second_correct=0, flips=())
    assert (empty.difference, empty.p_value, empty.interval) == (None, 1.0, (-1.0, 1.0))
