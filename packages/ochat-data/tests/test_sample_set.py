from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import InputError, sample_files, sample_set


def test_the_shipped_files_import_but_for_their_few_bad_records(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    files = sample_files()
    assert [path.name for path in files] == ["sharegpt_gpt35.json", "sharegpt_gpt4.json"]
    assert (files[0].parent / "LICENSE").is_file()
    code, _, errors = command("import", *files, "--output", tmp_path / "records.jsonl")
    assert code == 0
    read, written = (int(number) for number in re.findall(r"(\d+) (?:in|out)", errors))
    assert read > 2000
    assert read > written > 0.98 * read


def test_an_installation_without_them_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_set, "__file__", str(tmp_path / "sample_set.py"))
    with pytest.raises(InputError, match="install ochat-data again"):
        sample_files()
