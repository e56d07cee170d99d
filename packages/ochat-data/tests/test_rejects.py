from __future__ import annotations

import json
from pathlib import Path

import pytest

from ochat_data import InputError, RejectRateError
from ochat_data.reading import RawItem
from ochat_data.rejects import RejectLog

BAD = RawItem(file="a.jsonl", where="line 2", value=None, problem="p", line=b'{"x": \xff\n')


def test_a_reject_is_kept_with_place_stage_reason_and_raw_text(tmp_path: Path) -> None:
    path = tmp_path / "out.rejects.jsonl"
    with RejectLog(path) as log:
        log.add(BAD, "import", "not JSON")
        assert not path.exists()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "file": "a.jsonl",
            "where": "line 2",
            "offset": None,
            "stage": "import",
            "reason": "not JSON",
            "raw": '{"x": \\xff',
        }
    ]


def test_text_that_utf8_cannot_carry_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    item = RawItem(file="a.json", where="index 0", value={"x": "\ud800"})
    with RejectLog(path) as log:
        log.add(item, "import", "surrogate")
    assert json.loads(json.loads(path.read_text())["raw"]) == {"x": "\ud800"}


def test_a_run_without_rejects_removes_those_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("old\n")
    with RejectLog(path):
        pass
    assert not path.exists()


def test_a_failed_run_still_shows_its_rejects(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    log = RejectLog(path)
    log.add(BAD, "import", "not JSON")
    error = InputError("another file is missing")
    log.__exit__(InputError, error, None)
    assert path.exists()


def test_the_limit_is_a_share_of_what_was_read() -> None:
    with RejectLog(None) as log:
        log.add(BAD, "import", "not JSON")
        log.check(2, 0.5)
        with pytest.raises(RejectRateError, match=r"1 of 3 records.*0\.1.*a\.jsonl, line 2: not"):
            log.check(3, 0.1)
        with pytest.raises(InputError, match=r"none of the 1 records.*a\.jsonl, line 2: not JSON"):
            log.check(1, 1.0)
        with pytest.raises(InputError, match="holds no records"):
            log.check(0, 1.0)


def test_a_file_the_user_named_is_emptied_but_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("old\n")
    with RejectLog(path, named=True):
        pass
    assert path.read_bytes() == b""
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.jsonl"]
