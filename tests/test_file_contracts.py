"""What one package writes is what another one, or a stranger's script, reads."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from walking import Walk

from ochat_data import TokenDataset
from ochat_serve import SetupError, open_model_folder
from ochat_templates import Fingerprint, ModelCard, load_codec


def test_a_strangers_script_reads_the_token_dataset(walk: Walk) -> None:
    manifest = json.loads((walk.dataset / "manifest.json").read_text())
    codec = load_codec(walk.base, manifest["template"])
    assert Fingerprint.from_json(manifest["fingerprint"]) == codec.fingerprint
    rows = pq.read_table(sorted(walk.dataset.glob("train-*.parquet"))).to_pylist()
    dataset = TokenDataset.open(walk.dataset).split("train")
    assert len(rows) == len(dataset)
    for index, row in enumerate(rows):
        example = dataset.example(index)
        assert row["input_ids"] == example.ids.tolist()
        assert row["length"] == len(row["input_ids"])
        assert row["condition"] == example.condition
        weights = [0.0] * row["length"]
        for span in row["spans"]:
            for position in range(span["start"], span["end"]):
                weights[position] = span["weight"]
        assert example.weights.tolist() == pytest.approx(weights)


def test_the_weights_on_disk_are_those_of_c_rlft(walk: Walk) -> None:
    split = TokenDataset.open(walk.dataset).split("train")
    seen: dict[str, set[float]] = {"GPT4": set(), "GPT3": set()}
    for index in range(len(split)):
        example = split.example(index)
        seen[example.condition] |= {round(float(w), 6) for w in example.weights}
    assert seen == {"GPT4": {0.0, 1.0}, "GPT3": {0.0, 0.1}}


def test_the_server_finds_template_and_context_in_the_model_card(walk: Walk) -> None:
    card = ModelCard.read(walk.model)
    assert card.fingerprint == TokenDataset.open(walk.dataset).fingerprint
    folder = open_model_folder(walk.model)
    assert folder.model.codec.template.name == card.model_type
    assert folder.model.names[0] == card.model_type


def test_plain_transformers_opens_the_model_folder(walk: Walk) -> None:
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model = AutoModelForCausalLM.from_pretrained(walk.model)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(walk.model)
    codec = load_codec(walk.model, "openchat_v3.2")
    text = "What is the capital of France?"
    assert tokenizer(text, add_special_tokens=False).input_ids == codec.encode_text(text)
    assert model.generation_config.eos_token_id in (codec.eot_id, [codec.eot_id])
    assert model.get_input_embeddings().num_embeddings >= codec.vocab_size


def test_a_model_whose_tokenizer_was_swapped_is_refused(walk: Walk, tmp_path: Path) -> None:
    from ochat_templates.testing import train_sentencepiece

    for file in walk.model.iterdir():
        if not file.name.startswith("tokenizer"):
            (tmp_path / file.name).symlink_to(file)
    train_sentencepiece(["other words entirely"] * 50, tmp_path / "tokenizer.model", vocab_size=300)
    with pytest.raises(SetupError, match="tokenized differently"):
        open_model_folder(tmp_path)
