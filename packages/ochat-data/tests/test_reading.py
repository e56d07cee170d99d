from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data import InputError
from ochat_data.json_list import list_elements
from ochat_data.reading import file_digest, read_items


def _nested(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3)


class LittleByLittle(io.BytesIO):
    """A stream that gives only a few bytes at a time."""

    def __init__(self, most: int, data: bytes) -> None:
        super().__init__(data)
        self.most = most

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.most if size else 0)


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
        (b"PAR1" + b"x" * 40, "cannot read .*fetch it again"),
        (gzip.compress(b'{"a": 1}\n' * 100)[:-9], "cannot read .*: Compressed file ended"),
    ],
)
def test_a_file_broken_as_a_whole_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_items([str(path)]))


@pytest.mark.parametrize(
    ("content", "whole"),
    [(b'[{"a": 1}, {"a"', 1), (b"[" * 5000, 0), (b"[1, 2", 1), (b"[", 0), (b"[1][2", 1)],
)
def test_a_list_that_ends_early_loses_only_its_last_item(
    content: bytes, whole: int, tmp_path: Path
) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    items = list(read_items([str(path)]))
    assert [bool(item.problem) for item in items] == [False] * whole + [True]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
@given(values=st.lists(st.recursive(st.text() | st.integers() | st.none(), _nested, max_leaves=6)))
def test_a_list_is_cut_into_its_elements_wherever_it_is_read(
    block: int, values: list[object]
) -> None:
    text = json.dumps(values, indent=1 if len(values) % 2 else None).encode()
    stream = LittleByLittle(block, text[1:])
    found = list(list_elements(text[:1], stream))
    assert [json.loads(element) for _, element in found] == values
    assert all(text[start:].lstrip().startswith(element) for start, element in found)


@pytest.mark.parametrize("pack", ["plain", "gzip", "zstd"])
def test_every_packing_and_form_gives_the_same_values(pack: str, tmp_path: Path) -> None:
    values = [{"text": f"caf\u00e9 {number}"} for number in range(4)]
    lines = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    forms = {"a.jsonl": lines, "b.json": json.dumps(values, indent=2).encode()}
    for name, content in forms.items():
        path = tmp_path / f"{pack}-{name}"
        if pack == "gzip":
            content = gzip.compress(content)
        elif pack == "zstd":
            content = pa.compress(content, codec="zstd", asbytes=True)
        path.write_bytes(content)
        assert [item.value for item in read_items([str(path)])] == values
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(values), parquet)
    assert [item.value for item in read_items([str(parquet)])] == values


def test_one_object_over_many_lines_is_one_item(tmp_path: Path) -> None:
    path = tmp_path / "pretty.json"
    path.write_text(json.dumps({"text": "x", "more": [1]}, indent=2))
    assert [item.value for item in read_items([str(path)])] == [{"text": "x", "more": [1]}]


def test_a_broken_first_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a"\n{"a": 2}\n{broken\n{"a": 3}\n')
    items = list(read_items([str(path)]))
    assert [item.value for item in items] == [None, {"a": 2}, None, {"a": 3}]
    assert [item.where for item in items] == ["line 1", "line 2", "line 3", "line 4"]
    data = path.read_bytes()
    for item in items:
        assert item.offset is not None
        assert item.line is not None
        assert data[item.offset :].startswith(item.line)


def test_a_folder_stands_for_the_data_in_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.jsonl", "a.json", "sub/c.jsonl.gz", "readme.pdf", ".hidden.json"):
        (tmp_path / name).write_bytes(b"{}\n")
    names = [Path(item.file).name for item in read_items([str(tmp_path)])]
    assert names == ["a.json", "b.jsonl", "c.jsonl.gz"]


def test_text_files_and_pages_are_one_item_each(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo")
    (tmp_path / "b.html").write_text("<!DOCTYPE html><p>x")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    items = list(read_items([str(tmp_path)]))
    assert [(item.kind, bool(item.problem)) for item in items] == [
        ("text", False),
        ("page", False),
        ("json", True),
    ]


def test_a_missing_file_is_refused_before_any_is_read(tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("{}\n")
    with pytest.raises(InputError, match=r"gone\.jsonl does not exist"):
        next(read_items([str(there), str(tmp_path / "gone.jsonl")]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no data"):
        next(read_items([str(tmp_path / "empty")]))


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
