from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ochat_eval import RunConfig, RunFolderError, rescore, run_suite


def test_rescoring_gives_the_same_bytes_without_a_server(config: RunConfig, server: Any) -> None:
    run_suite(config)
    names = ("summary.json", "verdicts.jsonl")
    before = {name: (config.output / name).read_bytes() for name in names}
    server.stop()
    Path(config.suite).unlink()
    rescore(config.output)
    assert {name: (config.output / name).read_bytes() for name in names} == before


def test_a_corrupt_response_line_is_named(config: RunConfig) -> None:
    run_suite(config)
    path = config.output / "responses.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:4], "garbage\n", *lines[5:]]))
    with pytest.raises(RunFolderError, match=r"responses.jsonl, line 5: not valid JSON"):
        rescore(config.output)


def test_an_unfinished_run_has_a_summary_that_says_so(config: RunConfig) -> None:
    run_suite(config)
    path = config.output / "responses.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:12]))
    summary: Any = rescore(config.output)
    assert (summary["overall"]["n"], summary["questions"], summary["complete"]) == (12, 60, False)


def test_a_run_without_responses_cannot_be_scored(config: RunConfig) -> None:
    run_suite(config)
    (config.output / "responses.jsonl").write_bytes(b"")
    with pytest.raises(RunFolderError, match="holds no responses yet"):
        rescore(config.output)
