"""Fingerprints and model cards: equal tokens share one, different tokens are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ochat_templates import (
    Fingerprint,
    FingerprintMismatchError,
    ModelCard,
    ModelCardError,
    load_codec,
)
from ochat_templates.testing import train_sentencepiece


def test_a_model_and_its_conversion_share_a_fingerprint(
    sentencepiece_file: Path, tokenizers_file: Path
) -> None:
    first = load_codec(sentencepiece_file, "openchat_v3.2").fingerprint
    second = load_codec(tokenizers_file, "openchat_v3.2").fingerprint
    assert first == second
    assert Fingerprint.from_json(json.loads(json.dumps(first.to_json()))) == first


def test_another_tokenizer_is_told_apart_by_the_first_differing_probe(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    other = train_sentencepiece(["zzz yyy xxx"] * 50, tmp_path / "o.model", vocab_size=300)
    ours = load_codec(sentencepiece_file, "openchat_v3.2").fingerprint
    theirs = load_codec(other, "openchat_v3.2").fingerprint
    with pytest.raises(FingerprintMismatchError, match=r"the dataset d .* 'Hello' is \[.*\] there"):
        ours.require_equal(theirs, "the dataset d")


def test_another_template_is_told_apart_by_its_name(sentencepiece_file: Path) -> None:
    ours = load_codec(sentencepiece_file, "openchat_v3.2").fingerprint
    theirs = load_codec(sentencepiece_file, "openchat_3.5").fingerprint
    with pytest.raises(FingerprintMismatchError, match="its template is openchat_v3.2_mistral"):
        ours.require_equal(theirs, "the dataset")


def test_equal_probes_with_another_vocabulary_are_still_different(
    sentencepiece_file: Path,
) -> None:
    ours = load_codec(sentencepiece_file, "openchat_v3.2").fingerprint
    theirs = Fingerprint(digest="0" * 64, template=ours.template, probes=ours.probes)
    with pytest.raises(FingerprintMismatchError, match="vocabulary"):
        ours.require_equal(theirs, "the dataset")


@pytest.mark.parametrize("value", [None, {}, {"digest": "", "template": "", "probes": [["a"]]}])
def test_what_is_no_fingerprint_is_refused(value: object) -> None:
    with pytest.raises(FingerprintMismatchError, match="not a fingerprint"):
        Fingerprint.from_json(value)


def card(sentencepiece_file: Path) -> ModelCard:
    return ModelCard(
        model_type="openchat_v3.2",
        context_length=256,
        fingerprint=load_codec(sentencepiece_file, "openchat_v3.2").fingerprint,
        training={"epochs": 3},
    )


def test_a_model_card_is_read_as_it_was_written(sentencepiece_file: Path, tmp_path: Path) -> None:
    written = card(sentencepiece_file)
    assert written.write(tmp_path) == tmp_path / "openchat.json"
    assert ModelCard.read(tmp_path) == written
    assert [file.name for file in tmp_path.iterdir()] == ["openchat.json"]


def test_a_missing_or_broken_card_says_what_to_do(sentencepiece_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelCardError, match="--model-type"):
        ModelCard.read(tmp_path)
    file = card(sentencepiece_file).write(tmp_path)
    complete = json.loads(file.read_text())
    file.write_text("{")
    with pytest.raises(ModelCardError, match="cannot read"):
        ModelCard.read(tmp_path)
    broken_cards: list[dict[str, object]] = [
        {},
        complete | {"fingerprint": 3},
        complete | {"context_length": None},
    ]
    for broken in broken_cards:
        file.write_text(json.dumps(broken))
        with pytest.raises(ModelCardError, match="is incomplete"):
            ModelCard.read(tmp_path)
    file.write_text(json.dumps(complete | {"schema_version": 99}))
    with pytest.raises(ModelCardError, match="update ochat-templates"):
        ModelCard.read(tmp_path)
