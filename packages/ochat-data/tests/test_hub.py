"""Hugging Face datasets go in like files, by folder or address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data.reading import expand_folders, file_digest

Command = Callable[..., tuple[int, str, str]]
ROWS = [
    {"messages": [{"role": "user", "content": f"Hi {n}"}, {"role": "assistant", "content": "Ho"}]}
    for n in range(4)
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("hub")
    rows = datasets.Dataset.from_list(ROWS)
    rows.save_to_disk(folder / "one")
    datasets.DatasetDict(train=rows, test=rows.select([0])).save_to_disk(folder / "splits")
    return folder


@pytest.mark.parametrize(
    ("name", "count"),
    [("one", 4), ("hf://{}/one", 4), ("splits", 5), ("hf://{}/splits#test", 1)],
)
def test_a_saved_dataset_is_read_row_by_row(
    name: str, count: int, saved: Path, tmp_path: Path, command: Command
) -> None:
    address = name.format(saved) if "{}" in name else str(saved / name)
    code, _, errors = command("import", address, "--output", tmp_path / "o.jsonl")
    assert code == 0, errors
    assert f"{count} in = {count} out + 0 rejected" in errors
    first = json.loads((tmp_path / "o.jsonl").read_bytes().splitlines()[0])
    assert first["items"] == ROWS[0]["messages"]


def test_a_saved_dataset_has_a_digest_that_follows_its_files(saved: Path) -> None:
    [address] = expand_folders([str(saved / "splits")])
    before = file_digest(address)
    assert len(before) == 64
    (saved / "splits" / "train" / "more.arrow").write_bytes(b"x")
    assert file_digest(address) != before
    (saved / "splits" / "train" / "more.arrow").unlink()
    assert file_digest(address) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf://{}/splits#nope", "has the splits train, test, not 'nope'"),
        ("hf://{}/gone", "cannot open"),
        ("some-owner/Some-Data.2", "or write hf://some-owner/Some-Data.2 for the dataset"),
    ],
)
def test_what_is_no_dataset_is_named(name: str, said: str, saved: Path, command: Command) -> None:
    code, _, errors = command("import", name.format(saved), "--output", "-")
    assert code == 1
    assert said in errors
