from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import InputError, OutputError, Record, RecordError
from ochat_data.reading import RawItem
from ochat_data.record_steps import Dropped
from ochat_data.stages import parse_item, run_stage


def identity(item: RawItem) -> list[Record]:
    return [Record.from_json(parse_item(item))]


@pytest.fixture
def source(tmp_path: Path, talk: Callable[..., Record]) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(talk(f"Hi {n}", "Hello").to_line() for n in range(4)) + b"broken\n")
    return path


def test_in_is_out_plus_dropped_plus_rejected(source: Path, tmp_path: Path) -> None:
    def step(item: RawItem) -> list[Record] | Dropped:
        (record,) = identity(item)
        if record.conversation.messages[0].content == "Hi 1":
            return Dropped(reason="unlucky")
        return [record]

    output = tmp_path / "out.jsonl"
    counts = run_stage("test", [str(source)], str(output), step, max_reject_rate=0.5)
    assert (counts.read, counts.written, counts.rejected) == (5, 3, 1)
    assert counts.dropped == {"unlucky": 1}
    assert len(output.read_bytes().splitlines()) == 3
    assert len((tmp_path / "out.jsonl.rejects.jsonl").read_bytes().splitlines()) == 1


def test_a_failing_run_leaves_an_older_output_alone(source: Path, tmp_path: Path) -> None:
    def fail(item: RawItem) -> list[Record]:
        raise InputError(f"enough at {item.where}")

    output = tmp_path / "out.jsonl"
    output.write_text("older\n")
    with pytest.raises(InputError, match="enough at line 1"):
        run_stage("test", [str(source)], str(output), fail, max_reject_rate=1.0)
    assert output.read_text() == "older\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_nothing_left_is_an_error_without_output(source: Path, tmp_path: Path) -> None:
    def reject(item: RawItem) -> list[Record]:
        raise RecordError(f"no good: {item.where}")

    def drop(item: RawItem) -> Dropped:
        parse_item(item)
        return Dropped(reason="unwanted")

    output = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="none of the 5 records is usable.*no good: line 1"):
        run_stage("test", [str(source)], str(output), reject, max_reject_rate=1.0)
    with pytest.raises(InputError, match=r"no record is left: 5 in = 0 out \+ 4 dropped"):
        run_stage("test", [str(source)], str(output), drop, max_reject_rate=1.0)
    assert not output.exists()


def test_a_stage_may_write_over_its_own_input(source: Path) -> None:
    run_stage("test", [str(source)], str(source), identity, max_reject_rate=0.5)
    assert len(source.read_bytes().splitlines()) == 4


def test_a_dash_writes_to_standard_output(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer))
    run_stage("test", [str(source)], "-", identity, max_reject_rate=0.5)
    assert len(buffer.getvalue().splitlines()) == 4


def test_an_output_that_cannot_be_written_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        run_stage("test", [str(source)], str(tmp_path), identity, max_reject_rate=0.5)
    blocked = source / "below-a-file" / "out.jsonl"
    with pytest.raises(OutputError, match="cannot write"):
        run_stage("test", [str(source)], str(blocked), identity, max_reject_rate=0.5)


@pytest.mark.parametrize("rejects", ["in.jsonl", "out.jsonl", "link.jsonl", "out.jsonl/x"])
def test_rejects_that_would_overwrite_a_file_of_the_run_are_refused(
    rejects: str, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.jsonl").hardlink_to(source)
    before, output = source.read_bytes(), tmp_path / "out.jsonl"
    with pytest.raises(OutputError, match="give --rejects another file"):
        run_stage(
            "test",
            [str(source)],
            str(output),
            identity,
            max_reject_rate=0.5,
            rejects=str(tmp_path / rejects),
        )
    assert source.read_bytes() == before
    assert not output.exists()


def test_an_input_of_the_default_rejects_name_is_kept(source: Path, tmp_path: Path) -> None:
    older = source.rename(tmp_path / "out.jsonl.rejects.jsonl")
    with pytest.raises(OutputError, match="would overwrite the input"):
        run_stage("test", [str(older)], str(tmp_path / "out.jsonl"), identity, max_reject_rate=0.5)
    assert older.exists()
