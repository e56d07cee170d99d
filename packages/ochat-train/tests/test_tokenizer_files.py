"""The tokenizer of a model folder keeps the ids that the folder declares, in every export."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from ochat_data import Record, TokenizeOptions, write_token_dataset
from ochat_templates import (
    Codec,
    Conversation,
    Message,
    ModelCard,
    convert_sentencepiece,
    load_codec,
)
from ochat_templates.testing import train_sentencepiece
from ochat_train import CheckpointError, ModelError, TrainConfig, train
from ochat_train.export import export_checkpoint
from ochat_train.tokenizer_files import rehearse_tokenizer, require_same_tokens, write_tokenizer

TEMPLATE, EOT, PIECES = "openchat_v3.2", "<|end_of_turn|>", 300
TEXT = "Five words and  two spaces."


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    train_sentencepiece([TEXT] * 30, folder / "tokenizer.model", vocab_size=PIECES)
    return folder


def _declare(folder: Path, **ids: int) -> None:
    names = {"pad": "<pad>", "eot": EOT}
    declared = {names[name]: token_id for name, token_id in ids.items()}
    (folder / "added_tokens.json").write_text(json.dumps(declared))


def _declare_in_tokenizer_json(folder: Path, *tokens: str) -> None:
    tokenizer = convert_sentencepiece(folder / "tokenizer.model", tokens)
    tokenizer.save(str(folder / "tokenizer.json"))


def _written(source: Path, target: Path) -> Codec:
    target.mkdir()
    codec = load_codec(source, TEMPLATE)
    write_tokenizer(source, target, codec, context_length=64)
    require_same_tokens(target, codec)
    return codec


def test_added_tokens_keep_their_ids_in_the_conversion(source: Path, tmp_path: Path) -> None:
    _declare(source, eot=PIECES + 1, pad=PIECES)
    assert _written(source, tmp_path / "target").eot_id == PIECES + 1
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "target")
    assert tokenizer.convert_tokens_to_ids(["<pad>", EOT]) == [PIECES, PIECES + 1]
    assert tokenizer.eos_token_id == PIECES + 1


def test_ids_with_a_gap_stay_in_added_tokens_json(source: Path, tmp_path: Path) -> None:
    _declare(source, eot=PIECES + 7)
    _written(source, tmp_path / "target")
    assert not (tmp_path / "target" / "tokenizer.json").exists()
    assert load_codec(tmp_path / "target", TEMPLATE).eot_id == PIECES + 7


def test_the_own_files_of_the_folder_are_copied_as_they_are(source: Path, tmp_path: Path) -> None:
    _declare_in_tokenizer_json(source, "[PAD]", EOT)
    (source / "tokenizer_config.json").write_text('{"chat_template": "mine"}')
    (source / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}')
    (source / "chat_template.jinja").write_text("mine")
    _written(source, tmp_path / "target")
    for file in source.iterdir():
        assert (tmp_path / "target" / file.name).read_bytes() == file.read_bytes()


def test_a_tokenizer_json_that_tokenizes_otherwise_is_replaced(
    source: Path, tmp_path: Path
) -> None:
    """Some converters order merges wrongly: the SentencePiece model is what trains."""
    _declare_in_tokenizer_json(source, "[PAD]", EOT)
    specification = json.loads((source / "tokenizer.json").read_text())
    specification["model"]["merges"].reverse()
    (source / "tokenizer.json").write_text(json.dumps(specification))
    codec = _written(source, tmp_path / "target")
    assert load_codec(tmp_path / "target" / "tokenizer.json", TEMPLATE).eot_id == codec.eot_id


def test_a_tokenizer_that_cannot_be_written_is_refused_before_training(source: Path) -> None:
    _declare_in_tokenizer_json(source, EOT)
    specification = json.loads((source / "tokenizer.json").read_text())
    specification["model"]["merges"].reverse()
    specification["added_tokens"][-1]["id"] += 5
    (source / "tokenizer.json").write_text(json.dumps(specification))
    with pytest.raises(ModelError, match="cannot be written beside a trained model"):
        rehearse_tokenizer(source, load_codec(source, TEMPLATE))


@pytest.mark.parametrize("declared_by", ["added_tokens.json", "tokenizer.json"])
def test_a_run_keeps_declared_ids_in_model_checkpoints_and_exports(
    base_model: Path, tmp_path: Path, declared_by: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(base_model, model)
    if declared_by == "added_tokens.json":
        _declare(model, pad=PIECES, eot=PIECES + 1)
    else:
        _declare_in_tokenizer_json(model, "[PAD]", EOT)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": PIECES + 2}))
    answer = (Message(role="user", content="Hi"), Message(role="assistant", content="Ho"))
    records = [Record.create(Conversation(messages=answer), source=str(n)) for n in range(4)]
    codec = load_codec(model, TEMPLATE)
    data = tmp_path / "tokens"
    write_token_dataset(data, records, codec, TokenizeOptions(max_length=64, eval_fraction=0.0))
    run = TrainConfig(
        model=model, data=data, output=tmp_path / "run", from_scratch=True, epochs=1, quiet=True
    )
    train(replace(run, threads=1))
    checkpoint = next((run.output / "checkpoints").iterdir())
    exported = export_checkpoint(checkpoint, tmp_path / "exported")
    for folder in (run.output / "model", checkpoint / "model", exported):
        assert load_codec(folder, TEMPLATE).eot_id == PIECES + 1
        assert ModelCard.read(folder).fingerprint == load_codec(folder, TEMPLATE).fingerprint


def test_a_checkpoint_with_another_tokenizer_is_not_exported(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    run = TrainConfig(
        model=base_model, data=dataset, output=tmp_path / "run", from_scratch=True, quiet=True
    )
    train(replace(run, epochs=1))
    checkpoint = next((run.output / "checkpoints").iterdir())
    _declare_in_tokenizer_json(checkpoint / "model", "[PAD]", EOT)
    with pytest.raises(CheckpointError, match="copy the tokenizer files"):
        export_checkpoint(checkpoint, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
