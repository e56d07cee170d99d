from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import OutputError, Record, TokenDataset, dataset_writer, write_token_dataset
from ochat_data.dataset_writer import TokenDatasetWriter
from ochat_data.example_table import ExampleRows, table_totals
from ochat_templates import Codec, Encoded, Span


@pytest.fixture
def written(tmp_path: Path, talk: Callable[..., Record], codec: Codec) -> Path:
    write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec)
    return tmp_path / "set"


def test_the_first_token_is_never_predicted() -> None:
    spans = (Span(start=0, end=2, weight=1.0), Span(start=3, end=5, weight=0.5))
    rows = ExampleRows()
    rows.add("x", Encoded(ids=[1, 2, 3, 4, 5], spans=spans), "GPT4")
    totals = table_totals(rows.to_table())["GPT4"]
    assert (totals.tokens, totals.supervised_tokens, totals.loss_weight) == (5, 3, 2.0)


def test_an_existing_dataset_is_replaced_only_on_request(
    written: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    record = talk("Another", "one")
    with pytest.raises(OutputError, match="already exists.*--overwrite"):
        write_token_dataset(written, [record], codec)
    write_token_dataset(written, [record], codec, overwrite=True)
    assert TokenDataset.open(written).split("train").record_ids == [record.id]
    assert [path.name for path in written.parent.iterdir()] == ["set"]


def test_a_folder_of_other_files_is_never_overwritten(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="is no token dataset; choose another name"):
        write_token_dataset(tmp_path, [talk("Hi", "Hello")], codec, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        write_token_dataset(tmp_path / "thesis.txt", [talk("Hi", "Hello")], codec, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_empty_folder_may_be_used(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    (tmp_path / "set").mkdir()
    write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec)
    assert len(TokenDataset.open(tmp_path / "set").split("train")) == 1


def test_a_run_that_fails_leaves_nothing_and_keeps_the_old(written: Path) -> None:
    before = (written / "manifest.json").read_bytes()
    with TokenDatasetWriter(written, overwrite=True) as writer:
        writer.add("train", "x", Encoded(ids=[1], spans=()), "")
    assert [path.name for path in written.parent.iterdir()] == ["set"]
    assert (written / "manifest.json").read_bytes() == before


def test_what_a_killed_run_left_is_cleared(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    (tmp_path / ".set.partial").mkdir()
    (tmp_path / ".set.partial" / "train-00007.parquet").write_bytes(b"half")
    write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec)
    names = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert names == ["manifest.json", "train-00000.parquet"]


def test_many_examples_are_read_back_in_order_over_groups_and_shards(
    tmp_path: Path,
    talk: Callable[..., Record],
    codec: Codec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dataset_writer, "_EXAMPLES_PER_GROUP", 3)
    monkeypatch.setattr(dataset_writer, "_TOKENS_PER_SHARD", 100)
    records = [talk(f"Hi {number}", "Hello " * number) for number in range(1, 30)]
    manifest = write_token_dataset(tmp_path / "set", records, codec)
    split = TokenDataset.open(tmp_path / "set").split("train")
    assert len(manifest.splits["train"].shards) > 3
    assert split.record_ids == [record.id for record in records]
    for index, record in enumerate(records):
        encoded = codec.encode(record.conversation)
        assert split.example(index).ids.tolist() == encoded.ids
        assert split.example(index).weights.tolist() == encoded.weights()


def test_the_same_input_gives_the_same_bytes(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    records = [talk(f"Hi {number}", "Hello") for number in range(5)]
    for name in ("a", "b"):
        write_token_dataset(tmp_path / name, records, codec)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_with_the_manifest_of_something_else_is_never_overwritten(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "A web app", "icons": []}')
    with pytest.raises(OutputError, match="is no token dataset; choose another name"):
        write_token_dataset(tmp_path, [talk("Hi", "Hello")], codec, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
