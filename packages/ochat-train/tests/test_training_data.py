"""A run trains on what it is given: a token dataset, or the original trainers' Parquet files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from ochat_data import TokenDataset, TokenizeOptions, write_token_dataset
from ochat_data.legacy_conversion import export_legacy
from ochat_data.weighting import Weighting
from ochat_templates import FingerprintMismatchError, load_codec
from ochat_templates.testing import write_trap_model
from ochat_train import ConfigError, DataError, OutputError, TrainConfig, guards, train
from ochat_train.guards import check_inputs

Records = Callable[[], list[object]]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("layout", ["2023", "2024"])
def test_the_parquet_files_of_the_original_train_the_model_that_the_dataset_trains(
    config: TrainConfig, records: Records, tmp_path: Path, layout: str
) -> None:
    codec = load_codec(config.model, "openchat_v3.2")
    options = TokenizeOptions(
        max_length=200, eval_fraction=0.2, weighting=Weighting(preset="v3-balanced")
    )
    write_token_dataset(tmp_path / "set", records(), codec, options)  # pyrefly: ignore
    export_legacy(tmp_path / "set", str(tmp_path / "old"), layout)
    new = train(replace(config, data=tmp_path / "set", output=tmp_path / "new"))
    old = train(replace(config, data=tmp_path / "old"))
    assert old.tokens == new.tokens
    assert old.held_out[-1].overall.loss == pytest.approx(new.held_out[-1].overall.loss, rel=1e-5)
    ours, theirs = weights(old.model), weights(new.model)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs)
    assert check_inputs(replace(config, data=tmp_path / "old")).groups == (
        2 if layout == "2023" else 1
    )


def test_files_of_epochs_are_trained_in_turn_and_resumed(
    config: TrainConfig, dataset: Path, tmp_path: Path
) -> None:
    export_legacy(dataset, str(tmp_path / "old"), "2024")
    for epoch, split in enumerate(("train", "eval")):
        shutil.copyfile(tmp_path / f"old.{split}.parquet", tmp_path / f"turns.{epoch}.parquet")
    config = replace(config, data=tmp_path / "turns", epochs=3)
    result = train(config)
    splits = [TokenDataset.open(dataset).split(name) for name in ("train", "eval")]
    sizes = [int(split.lengths.sum()) for split in splits]
    assert result.tokens == 2 * sizes[0] + sizes[1]


def test_a_tokenizer_that_did_not_make_the_ids_is_refused(
    config: TrainConfig, dataset: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(config.model, other)
    write_trap_model(other / "tokenizer.model")
    with pytest.raises(FingerprintMismatchError):
        check_inputs(replace(config, model=other))
    export_legacy(dataset, str(tmp_path / "old"), "2024")
    data = guards.open_data(tmp_path / "old")
    codec = SimpleNamespace(bos_id=7, vocab_size=10_000)
    with pytest.raises(DataError, match="opens its examples with the id 1, but"):
        data.require_codec(codec, "it")  # pyrefly: ignore
    codec = SimpleNamespace(bos_id=1, vocab_size=20)
    with pytest.raises(DataError, match="tokenizer has 20 ids"):
        data.require_codec(codec, "it")  # pyrefly: ignore


def test_parquet_that_names_no_template_asks_for_it(
    config: TrainConfig, dataset: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    export_legacy(dataset, str(tmp_path / "old"), "2024")
    table = pq.read_table(tmp_path / "old.train.parquet").replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "bare.train.parquet")
    with pytest.raises(ConfigError, match="give --model-type"):
        check_inputs(replace(config, data=tmp_path / "bare"))
    named = replace(config, data=tmp_path / "bare", model_type="openchat_v3.2")
    assert len(check_inputs(named).train[0]) == table.num_rows


def test_a_dataset_that_never_trains_the_end_of_turn_is_refused(config: TrainConfig) -> None:
    data = guards.open_data(config.data)
    eot_id = load_codec(config.model, "openchat_v3.2").eot_id
    data.require_end_of_turn(eot_id)
    with pytest.raises(DataError, match=r"end-of-turn token \(id 9999\).*never stop"):
        data.require_end_of_turn(9999)


def test_long_examples_are_refused_cut_or_left_out(config: TrainConfig) -> None:
    short = replace(config, batch_tokens=80)
    with pytest.raises(ConfigError, match="--overlong cut"):
        check_inputs(short)
    lengths = TokenDataset.open(config.data).split("train").lengths
    cut = check_inputs(replace(short, overlong="cut"))
    assert cut.capacity == 80
    assert cut.train[0].counts.cut == int((lengths > 80).sum()) > 0
    assert int(cut.train[0].lengths.max()) == 80
    dropped = check_inputs(replace(short, overlong="drop"))
    assert len(dropped.train[0]) == int((lengths <= 80).sum())
    train(replace(short, overlong="drop"))


def test_a_disk_too_small_for_a_checkpoint_is_refused_before_training(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=1000)

    monkeypatch.setattr(guards.shutil, "disk_usage", full)
    with pytest.raises(OutputError, match=r"0\.0 GiB free.*one checkpoint"):
        train(config)
    assert not config.output.exists()


def test_a_stretched_context_takes_what_the_model_alone_would_refuse(
    config: TrainConfig, tmp_path: Path
) -> None:
    import json

    small = tmp_path / "small"
    shutil.copytree(config.model, small)
    settings = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 100}))
    with pytest.raises(Exception, match="--rope-scaling"):
        train(replace(config, model=small))
    stretched = replace(config, model=small, rope_scaling="yarn", rope_factor=2.0)
    folder = train(stretched).model
    written = json.loads((folder / "config.json").read_text())
    assert written["max_position_embeddings"] == 200
    assert written["rope_parameters"]["rope_type"] == "yarn"
    train(replace(stretched, resume=True))
