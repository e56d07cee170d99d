from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import (
    DatasetError,
    LegacyDataset,
    Record,
    TokenDataset,
    TokenizeOptions,
    is_legacy,
    write_token_dataset,
)
from ochat_data.legacy_conversion import export_legacy
from ochat_data.weighting import Weighting
from ochat_templates import Codec

Talk = Callable[..., Record]


@pytest.fixture
def prefix(tmp_path: Path, talk: Talk, codec: Codec) -> Path:
    records = [
        talk(f"Question {number}?", "An answer. " * (number % 5 + 1), condition=condition)
        for number, condition in enumerate(["GPT4", "GPT3", "GPT3"] * 10)
    ]
    options = TokenizeOptions(weighting=Weighting(preset="v3-balanced"), eval_fraction=0.2)
    write_token_dataset(tmp_path / "set", records, codec, options)
    for layout in ("2023", "2024"):
        export_legacy(tmp_path / "set", str(tmp_path / f"old{layout}"), layout)
    return tmp_path / "old"


@pytest.mark.parametrize("layout", ["2023", "2024"])
def test_both_layouts_give_the_examples_of_the_dataset(prefix: Path, layout: str) -> None:
    original = TokenDataset.open(prefix.with_name("set")).split("train")
    path = prefix.with_name(f"old{layout}")
    assert is_legacy(path)
    opened = LegacyDataset.open(path)
    assert (opened.layout, opened.model_type) == (layout, "openchat_v3.2")
    assert opened.groups == (2 if layout == "2023" else 1)
    (split,) = opened.train_splits()
    assert split.lengths.tolist() == original.lengths.tolist()
    for index in range(len(split)):
        one, other = split.example(index), original.example(index)
        assert one.ids.tolist() == other.ids.tolist()
        # The first token is never predicted, so neither layout keeps its weight.
        assert one.weights[1:].tolist() == pytest.approx(other.weights[1:].tolist(), rel=1e-6)
    assert opened.eval_split().lengths.sum() > 0


def test_a_file_stands_for_those_of_its_prefix(prefix: Path) -> None:
    by_prefix = LegacyDataset.open(prefix.with_name("old2023"))
    by_file = LegacyDataset.open(prefix.with_name("old2023.train.parquet"))
    assert by_prefix == by_file


def test_files_of_epochs_are_found_in_order(prefix: Path) -> None:
    file = prefix.with_name("old2024.train.parquet")
    for epoch in (0, 1, 3):
        shutil.copyfile(file, prefix.with_name(f"epochs.{epoch}.parquet"))
    opened = LegacyDataset.open(prefix.with_name("epochs"))
    assert [each.name for each in opened.train_files] == ["epochs.0.parquet", "epochs.1.parquet"]
    assert len(opened.eval_split()) == 0


def test_nothing_there_is_said_with_the_names_that_were_looked_for(tmp_path: Path) -> None:
    assert not is_legacy(tmp_path)
    assert not is_legacy(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"gone\.train\.parquet and gone\.0\.parquet"):
        LegacyDataset.open(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"gone\.parquet does not exist"):
        LegacyDataset.open(tmp_path / "gone.parquet")
