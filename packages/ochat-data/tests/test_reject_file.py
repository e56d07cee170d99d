"""Rejected records are shown by reason and can be tried again without losing any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rejects(tmp_path: Path, command: Command) -> Path:
    rows = [{"instruction": "a", "output": "b"}, {"q": "Hi", "a": "Hello"}, {"q": "Hi", "a": 3}]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n{broken \udcff\n", errors="replace")
    options = ("--max-reject-rate", "1")
    assert command("import", path, "--output", tmp_path / "out.jsonl", *options)[0] == 0
    return tmp_path / "out.jsonl.rejects.jsonl"


def test_every_reject_has_its_place_and_raw_text(rejects: Path, tmp_path: Path) -> None:
    data = (tmp_path / "dump.jsonl").read_bytes()
    entries = [json.loads(line) for line in rejects.read_bytes().splitlines()]
    assert [entry["where"] for entry in entries] == ["line 2", "line 3", "line 4"]
    for entry in entries:
        assert set(entry) == {"file", "where", "offset", "stage", "reason", "raw"}
        assert data[entry["offset"] :].startswith(entry["raw"].encode())


def test_reasons_are_shown_with_examples(rejects: Path, command: Command) -> None:
    code, out, _ = command("rejects", rejects)
    assert code == 0
    assert "2 at import: no known chat format" in out
    assert "1 at import: not JSON" in out
    assert 'dump.jsonl, line 2: {"q": "Hi", "a": "Hello"}' in out


def test_errors_of_one_kind_are_counted_together(tmp_path: Path, command: Command) -> None:
    turns = [{"from": "human", "value": "Hi"}]
    rows = [{"conversations": [*turns * n, {"from": "tool", "value": "x"}]} for n in range(5)]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, {"instruction": "a", "output": "b"}])))
    command("import", path, "--output", tmp_path / "o.jsonl", "--max-reject-rate", "1")
    code, out, _ = command("rejects", tmp_path / "o.jsonl.rejects.jsonl", "--show", "2")
    assert code == 0
    first, *examples = out.splitlines()
    assert first.startswith("5 at import: conversations[0]: messages of 'tool' cannot be kept")
    assert len(examples) == 2


def test_a_retry_rescues_what_it_can_and_keeps_the_rest(
    rejects: Path, tmp_path: Path, command: Command
) -> None:
    output = tmp_path / "rescued.jsonl"
    columns = ("--columns", "question=q", "--columns", "answer=a")
    code, _, errors = command("rejects", rejects, "--retry", "--output", output, *columns)
    assert code == 0
    assert "3 tried = 1 rescued + 2 still rejected" in errors
    assert json.loads(output.read_bytes())["items"][1]["content"] == "Hello"
    left = [json.loads(line) for line in rejects.read_bytes().splitlines()]
    assert [entry["where"] for entry in left] == ["line 3", "line 4"]
    assert "a string under 'a', got a number" in left[0]["reason"]


def test_a_retry_in_vain_changes_nothing(rejects: Path, tmp_path: Path, command: Command) -> None:
    before = rejects.read_bytes()
    output = tmp_path / "rescued.jsonl"
    errors = command("rejects", rejects, "--retry", "--output", output)[2]
    assert "none of the 3 records" in errors
    assert rejects.read_bytes() == before
    assert not output.exists()
    assert "give --output" in command("rejects", rejects, "--retry")[2]
    bad = command("rejects", rejects, "--retry", "--output", output, "--format", "x")
    assert "no format 'x'" in bad[2]


def test_a_file_of_something_else_is_refused(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n')
    assert "line 1 is no rejected record" in command("rejects", path)[2]
    assert "cannot read" in command("rejects", tmp_path / "gone")[2]
    path.write_text("")
    assert command("rejects", path)[1] == "no rejects\n"
