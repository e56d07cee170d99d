from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ochat_data import (
    DatasetError,
    Record,
    TokenDataset,
    TokenizeOptions,
    TokenSplit,
    plan_batches,
    write_token_dataset,
)
from ochat_data.dataset_writer import SCHEMA
from ochat_templates import Codec


@pytest.fixture
def records(talk: Callable[..., Record]) -> list[Record]:
    return [
        talk(
            f"What is {number} times {number}?",
            f"It is {number * number}." * (1 + number % 4),
            "Sure?",
            "Yes \U0001f642",
            condition="GPT4" if number % 2 else "GPT3",
            weight=1.0 if number % 2 else 0.1,
        )
        for number in range(60)
    ]


@pytest.fixture
def folder(tmp_path: Path, records: list[Record], codec: Codec) -> Path:
    write_token_dataset(tmp_path / "set", records, codec, TokenizeOptions(eval_fraction=0.2))
    return tmp_path / "set"


def test_examples_come_back_as_they_were_encoded(
    folder: Path, records: list[Record], codec: Codec
) -> None:
    dataset = TokenDataset.open(folder)
    by_id = {record.id: record for record in records}
    seen: list[str] = []
    for name in ("train", "eval"):
        split = dataset.split(name)
        for index in range(len(split)):
            example = split.example(index)
            encoded = codec.encode(by_id[example.id].conversation)
            assert example.ids.tolist() == encoded.ids
            assert (
                example.weights.tolist() == np.array(encoded.weights(), dtype=np.float32).tolist()
            )
            assert example.condition == by_id[example.id].conversation.condition
            assert split.lengths[index] == len(encoded.ids)
            seen.append(example.id)
    assert sorted(seen) == sorted(by_id)


def test_arrays_have_the_promised_types(folder: Path) -> None:
    split = TokenDataset.open(folder).split("train")
    example = split.example(0)
    types = [split.lengths, split.loss_weights, example.ids, example.weights]
    assert [array.dtype.name for array in types] == ["int64", "float64", "int32", "float32"]


def test_loss_weights_are_the_sums_over_predicted_tokens(folder: Path) -> None:
    split = TokenDataset.open(folder).split("train")
    sums = [split.example(index).weights[1:].sum() for index in range(len(split))]
    np.testing.assert_allclose(split.loss_weights, sums, rtol=1e-6)


def test_a_weight_on_the_first_token_never_counts() -> None:
    row = {
        "id": "x",
        "length": 3,
        "input_ids": [5, 6, 7],
        "spans": [{"start": 0, "end": 2, "weight": 0.5}],
        "condition": "",
    }
    split = TokenSplit([pa.Table.from_pylist([row], schema=SCHEMA)])
    assert split.loss_weights.tolist() == [0.5]
    assert split.example(0).weights.tolist() == [0.5, 0.5, 0.0]


def test_the_manifest_tells_the_codec_and_the_totals(folder: Path, codec: Codec) -> None:
    dataset = TokenDataset.open(folder)
    split = dataset.split("train")
    totals = dataset.manifest.splits["train"].totals
    assert dataset.fingerprint == codec.fingerprint
    assert dataset.vocab_size == codec.vocab_size
    assert totals.examples == len(split)
    assert totals.tokens == split.lengths.sum()
    assert totals.loss_weight == pytest.approx(split.loss_weights.sum())
    assert dataset.manifest.weights == {"GPT3": (0.1,), "GPT4": (1.0,)}
    assert dataset.manifest.weight_preset == "per-message"


def test_a_split_nobody_asked_for_is_empty(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec)
    split = TokenDataset.open(tmp_path / "set").split("eval")
    assert len(split) == 0
    assert split.loss_weights.shape == (0,)


def test_the_lengths_can_be_packed(folder: Path) -> None:
    split = TokenDataset.open(folder).split("train")
    plan = plan_batches(split.lengths, capacity=256, world_size=2)
    assert plan.indices.size == len(split)


def test_the_columns_are_those_of_the_contract(folder: Path) -> None:
    schema = pq.read_schema(folder / "train-00000.parquet")
    assert [f"{field.name}: {field.type}" for field in schema] == [
        "id: string",
        "length: int32",
        "input_ids: list<element: int32>",
        "spans: list<element: struct<start: int32, end: int32, weight: float>>",
        "condition: string",
        "source: string",
    ]


def test_an_example_or_split_that_does_not_exist_is_refused(folder: Path) -> None:
    dataset = TokenDataset.open(folder)
    with pytest.raises(DatasetError, match="no split 'test'"):
        dataset.split("test")
    for index in (-1, 60):
        with pytest.raises(DatasetError, match=f"no example {index}"):
            dataset.split("train").example(index)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        TokenDataset.open(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"no token dataset.*ochat-data tokenize"):
        TokenDataset.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 9}, "schema version 9, this program reads 1"),
        ({"vocab_size": "many"}, "corrupt at .*vocab_size"),
        ({"splits": {}}, "corrupt at 'train'"),
        ({"fingerprint": {}}, "corrupt at not a fingerprint"),
        ({"truncation": {"policy": "cut", "more": 1}}, "corrupt at .*more"),
    ],
)
def test_a_damaged_manifest_is_refused(
    change: dict[str, object], message: str, folder: Path
) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DatasetError, match=message):
        TokenDataset.open(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(DatasetError, match=r"cannot read .*manifest\.json"):
        TokenDataset.open(folder)


def test_a_missing_shard_is_refused(folder: Path) -> None:
    (folder / "train-00000.parquet").unlink()
    with pytest.raises(DatasetError, match=r"shard .*train-00000\.parquet is missing; copy"):
        TokenDataset.open(folder).split("train")


def test_a_shard_with_one_flipped_bit_is_refused(folder: Path) -> None:
    shard = folder / "train-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match=r"train-00000\.parquet is damaged.*tokenize again"):
        TokenDataset.open(folder).split("train")


def test_a_shard_of_another_run_is_noticed(folder: Path) -> None:
    (folder / "eval-00000.parquet").replace(folder / "train-00000.parquet")
    with pytest.raises(DatasetError, match="of another dataset"):
        TokenDataset.open(folder).split("train")


def adopt(folder: Path, content: pa.Table | bytes) -> None:
    """Makes `content` the train shard, with a manifest that agrees to it."""
    shard, manifest = folder / "train-00000.parquet", folder / "manifest.json"
    if isinstance(content, bytes):
        shard.write_bytes(content)
    else:
        pq.write_table(content, shard)
    fields = json.loads(manifest.read_text())
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    fields["splits"]["train"]["shards"] = {shard.name: digest}
    manifest.write_text(json.dumps(fields))


@pytest.mark.parametrize("stray", [-1, 100_000])
def test_a_token_id_outside_the_vocabulary_is_refused(stray: int, folder: Path) -> None:
    rows = pq.read_table(folder / "train-00000.parquet").to_pylist()
    rows[-1]["input_ids"][0] = stray
    adopt(folder, pa.Table.from_pylist(rows, schema=SCHEMA))
    with pytest.raises(DatasetError, match=f"token id {stray}, .*outside .*tokenize again"):
        TokenDataset.open(folder).split("train")


def test_a_shard_with_columns_of_another_type_is_refused(folder: Path) -> None:
    table = pq.read_table(folder / "train-00000.parquet")
    place = table.schema.get_field_index("input_ids")
    wide = table.column(place).cast(pa.list_(pa.int64()))
    adopt(folder, table.set_column(place, "input_ids", wide))
    with pytest.raises(DatasetError, match="has other columns than expected"):
        TokenDataset.open(folder).split("train")
    adopt(folder, table.drop_columns(["spans"]))
    with pytest.raises(DatasetError, match="has other columns than expected"):
        TokenDataset.open(folder).split("train")


def test_a_shard_that_is_no_parquet_is_refused(folder: Path) -> None:
    adopt(folder, b"text")
    with pytest.raises(DatasetError, match=r"cannot read the shard .*train-00000"):
        TokenDataset.open(folder).split("train")


def test_a_shard_whose_rows_are_not_all_there_is_refused(folder: Path) -> None:
    adopt(folder, pq.read_table(folder / "train-00000.parquet").slice(1))
    with pytest.raises(DatasetError, match="the manifest says"):
        TokenDataset.open(folder).split("train")


def test_supervised_tokens_are_the_predicted_ones_that_have_a_weight(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    records = [talk("a", "b c d", weight=0.1), talk("e", "f", "g", "h i")]
    write_token_dataset(tmp_path / "set", records, codec)
    split = TokenDataset.open(tmp_path / "set").split("train")
    for index in range(len(split)):
        predicted = split.example(index).weights[1:]
        assert split.supervised[index] == np.count_nonzero(predicted)
        assert split.loss_weights[index] == pytest.approx(predicted.sum(dtype=np.float64))
