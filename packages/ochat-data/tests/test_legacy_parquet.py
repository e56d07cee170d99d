"""The Parquet layouts of OpenChat's own trainers are read and written with the same tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ochat_data import Record, TokenDataset, TokenizeOptions, write_token_dataset
from ochat_data.weighting import Weighting
from ochat_templates import Codec

Talk = Callable[..., Record]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dataset(tmp_path: Path, talk: Talk, codec: Codec) -> Path:
    records = [talk("Hi", "Hello", "x", "y", condition="GPT4")]
    records += [talk(f"Hi {number}", "Hello there", condition="GPT3") for number in range(3)]
    options = TokenizeOptions(weighting=Weighting(preset="v3-balanced"))
    write_token_dataset(tmp_path / "set", records, codec, options)
    return tmp_path / "set"


def examples(folder: Path) -> list[tuple[list[int], list[float], str]]:
    split = TokenDataset.open(folder).split("train")
    found = [split.example(index) for index in range(len(split))]
    return [(each.ids.tolist(), each.weights.round(5).tolist(), each.condition) for each in found]


@pytest.mark.parametrize("layout", ["2023", "2024"])
def test_a_dataset_survives_the_way_out_and_back(
    layout: str, dataset: Path, tmp_path: Path, command: Command, tokenizer_path: Path
) -> None:
    prefix = tmp_path / "old"
    assert command("convert", dataset, "--layout", layout, "--output", prefix)[0] == 0
    file = tmp_path / "old.train.parquet"
    options = ("--tokenizer", tokenizer_path, "--output", tmp_path / "back")
    assert command("convert", file, *options)[0] == 0
    expected = examples(dataset)
    if layout == "2024":  # which has no conditions
        expected = [(ids, weights, "") for ids, weights, _ in expected]
    assert examples(tmp_path / "back") == expected
    assert (
        "already exists" in command("convert", dataset, "--layout", layout, "--output", prefix)[2]
    )


def test_the_2024_layout_is_what_its_trainer_reads(
    dataset: Path, tmp_path: Path, command: Command
) -> None:
    command("convert", dataset, "--layout", "2024", "--output", tmp_path / "old")
    table = pq.read_table(tmp_path / "old.train.parquet")
    assert json.loads(table.schema.metadata[b"metadata_json"]) == {"model_type": "openchat_v3.2"}
    for row, (ids, weights, _) in zip(table.to_pylist(), examples(dataset), strict=True):
        shifted = [*weights[1:], 0.0]
        assert row["nz_input_ids"] == ids
        assert row["nz_position_ids"] == list(range(len(ids)))
        assert np.allclose(row["nz_shifted_loss_weights"], shifted, atol=1e-5)
        labels = [token if weight else 0 for token, weight in zip(ids, weights, strict=True)]
        assert row["nz_shifted_label_ids"] == [*labels[1:], 0]
        assert row["num_seqs"] == pytest.approx(sum(shifted), rel=1e-3)
        assert (row["total_length"], row["seqlens"]) == (len(ids), [len(ids)])


def test_the_2023_layout_holds_both_answers_of_a_question(
    tmp_path: Path, command: Command, codec: Codec, tokenizer_path: Path
) -> None:
    bos, eot = codec.bos_id, codec.eot_id
    rows = [
        {
            "total_length": 9,
            "num_seqs": 2,
            "0_tokens": [bos, 5, 6, eot],
            "0_masks": [False, False, True, True],
            "1_tokens": [bos, 5, 7, 8, eot],
            "1_masks": [False, False, True, True, True],
            "total_loss_weight": 3.0,
        }
    ]
    metadata = {"model_type": "openchat_v3.2", "group_loss_weights": [1.0, 2.0], "num_groups": 2}
    table = pa.Table.from_pylist(rows).replace_schema_metadata(
        {"metadata_json": json.dumps(metadata)}
    )
    pq.write_table(table, tmp_path / "old.parquet")
    options = ("--tokenizer", tokenizer_path, "--output", tmp_path / "set")
    assert command("convert", tmp_path / "old.parquet", *options)[0] == 0
    first, second = examples(tmp_path / "set")
    assert first == ([bos, 5, 6, eot], [0, 0, 0.5, 0.5], "GPT3")
    assert second[1:] == (pytest.approx([0, 0, 2 / 3, 2 / 3, 2 / 3], abs=1e-5), "GPT4")


def test_what_the_2023_layout_cannot_say_is_refused(
    tmp_path: Path, talk: Talk, codec: Codec, command: Command
) -> None:
    write_token_dataset(tmp_path / "set", [talk("a", "b", condition="GPT4")], codec)
    errors = command("convert", tmp_path / "set", "--layout", "2023", "--output", tmp_path / "o")[2]
    assert "tokenize it with --weights v3-balanced, or write the 2024 layout" in errors
    assert "give --layout" in command("convert", tmp_path / "set", "--output", tmp_path / "o")[2]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_files_of_something_else_are_refused(
    tmp_path: Path, command: Command, tokenizer_path: Path
) -> None:
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "x.parquet")
    options = ("--tokenizer", tokenizer_path, "--output", tmp_path / "set")
    assert "is of neither layout" in command("convert", tmp_path / "x.parquet", *options)[2]
    (tmp_path / "y.parquet").write_bytes(b"nothing")
    assert "cannot read" in command("convert", tmp_path / "y.parquet", *options)[2]
    row = {"nz_input_ids": [5, 6], "nz_shifted_loss_weights": [1.0, 0.0]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "z.parquet")
    assert "give --template" in command("convert", tmp_path / "z.parquet", *options)[2]
    options = (*options, "--template", "openchat_v3.2")
    assert (
        "opens its examples with the id 5"
        in command("convert", tmp_path / "z.parquet", *options)[2]
    )
    assert not (tmp_path / "set").exists()
