from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data import InputError
from ochat_data.reading import file_digest, read_items


def test_a_json_list_is_read_element_by_element(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('\ufeff \n[{"a": 1},\n {"a": 2}]', encoding="utf-8")
    assert [(item.where, item.value) for item in read_items([str(path)])] == [
        ("index 0", {"a": 1}),
        ("index 1", {"a": 2}),
    ]


def test_json_lines_are_read_line_by_line_and_blank_ones_skipped(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}')
    assert [(item.where, item.value) for item in read_items([str(path)])] == [
        ("line 1", {"a": 1}),
        ("line 3", {"a": 2}),
    ]


def test_gzip_is_told_by_its_first_bytes_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "packed.jsonl"
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert [item.value for item in read_items([str(path)])] == [{"a": 1}]


@pytest.mark.parametrize("data", [b'{"a": 1}\n', gzip.compress(b'[{"a": 1}]')])
def test_a_dash_is_standard_input(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [(item.source, item.value) for item in read_items(["-"])] == [("stdin", {"a": 1})]
    assert not sys.stdin.buffer.closed


def test_a_corrupt_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \xff}\n{"a": 3}\n')
    first, bad, last = read_items([str(path)])
    assert (first.value, last.value) == ({"a": 1}, {"a": 3})
    assert bad.problem.startswith("not JSON: ")
    assert bad.where == "line 2"
    assert bad.raw_text() == '{"a": \\xff}'


def test_a_lone_surrogate_does_not_cost_the_list(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('["\\ud800", "fine"]')
    items = list(read_items([str(path)]))
    assert items[1].value == "fine"
    assert items[0].raw_text() == '"\\ud800"'


def test_a_very_deep_line_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text("{}\n" + '{"a":' * 5000 + "1" + "}" * 5000 + "\n")
    assert [bool(item.problem) for item in read_items([str(path)])] == [False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": 1}, {"a"', "is not a JSON list"),
        (b"[" * 5000, "is not a JSON list"),
        (gzip.compress(b'{"a": 1}\n' * 100)[:-9], "cannot read .*: Compressed file ended"),
    ],
)
def test_a_file_broken_as_a_whole_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_items([str(path)]))


def test_a_missing_file_is_refused_before_any_is_read(tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("{}\n")
    with pytest.raises(InputError, match=r"gone\.jsonl does not exist"):
        next(read_items([str(there), str(tmp_path / "gone.jsonl")]))
    with pytest.raises(InputError, match="is a folder"):
        next(read_items([str(tmp_path)]))


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert file_digest(str(path)) == hashlib.sha256(b"abc").hexdigest()
    assert file_digest("-") == ""


@given(content=st.binary(max_size=200) | st.text(alphabet='[]{}":,\n 1ae\\u', max_size=80))
def test_any_bytes_are_items_or_an_input_error(
    content: bytes | str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        items = list(read_items([str(path)]))
    except InputError:
        return
    assert all(item.raw_text() or item.line is None for item in items)


def test_a_name_that_is_no_utf8_becomes_text_that_is(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"dump-\xff.jsonl")
    path.write_bytes(b'{"a": 1}\n')
    assert [item.source for item in read_items([str(path)])] == ["dump-\\xff.jsonl"]
