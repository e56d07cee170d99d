"""`verify` tells tokenizers apart that differ in other ways than the common layouts do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from ochat_templates import (
    Codec,
    Conversation,
    Message,
    Template,
    convert_sentencepiece,
    get_template,
    load_codec,
)
from ochat_templates.testing import write_trap_model
from ochat_templates.verification import Report, verify
from ochat_templates.verification.comparing import Comparison
from ochat_templates.verification.rendering import render_prompt
from ochat_templates.verification.transformers_checks import Folder, check_folder

transformers = pytest.importorskip("transformers")

EXACT = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "<|end_of_turn|>",
    "unk_token": "<unk>",
}


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trap_model(tmp_path_factory.mktemp("trap") / "tokenizer.model")


@pytest.fixture
def altered(trap: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes the exact folder, with its tokenizer.json changed by a function."""

    def make(change: Callable[[dict[str, Any]], object], **config: object) -> Path:
        tokenizer = convert_sentencepiece(trap, ("<s>", "<|end_of_turn|>"))
        specification = json.loads(tokenizer.to_str())
        change(specification)
        (tmp_path / "tokenizer.json").write_text(json.dumps(specification))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(EXACT | config))
        return tmp_path

    return make


def names(report: Report) -> set[str]:
    return {cause.name for cause in report.causes}


def test_a_lossy_normaliser_changes_text(trap: Path, altered: Callable[..., Path]) -> None:
    def lower(specification: dict[str, Any]) -> None:
        specification["normalizer"]["normalizers"].insert(0, {"type": "Lowercase"})

    assert "text not kept" in names(verify("openchat_v3.2", trap, hf=altered(lower), cases=30))


def test_a_plain_added_token_matches_text(trap: Path, altered: Callable[..., Path]) -> None:
    place = altered(len)
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.add_tokens(["def f"])
    tokenizer.save(str(place / "tokenizer.json"))
    assert names(verify("openchat_v3.2", trap, hf=place, cases=60)) == {"added token matches text"}


def test_a_tokenizer_without_any_prefix_space_is_named_once(
    trap: Path, altered: Callable[..., Path]
) -> None:
    def unprefixed(specification: dict[str, Any]) -> None:
        del specification["normalizer"]["normalizers"][0]

    report = verify("openchat_v3.2", trap, hf=altered(unprefixed), cases=60)
    assert names(report) == {"prefix-space scheme: none in front of a text"}
    assert not any(note.startswith("legacy flag") for note in report.notes)


def test_merges_that_are_neither_by_score_nor_by_id_are_not_explained(
    trap: Path, altered: Callable[..., Path]
) -> None:
    """The same text in other pieces is not always the known defect."""

    def forgetful(specification: dict[str, Any]) -> None:
        merges = specification["model"]["merges"]
        merges[:] = [(left, right) for left, right in merges if len(left + right) < 3]

    report = verify("openchat_v3.2", trap, hf=altered(forgetful), cases=60)
    assert names(report) == {"unexplained difference"}
    assert "no known defect" in report.causes[0].remedy


def test_a_folder_that_splits_control_tokens_cannot_take_a_string(
    trap: Path, altered: Callable[..., Path]
) -> None:
    place = altered(len, split_special_tokens=True)
    report = verify("openchat_v3.2", trap, hf=place, cases=30)
    assert names(report) == {"control tokens become text"}
    assert report.notes == ()


@pytest.mark.parametrize("name", ["openchat_3.6", "chatml", "opencoder"])
def test_a_byte_level_folder_is_exact(
    name: str, byte_level_tokenizer: Callable[[Template], Tokenizer], tmp_path: Path
) -> None:
    template = get_template(name)
    byte_level_tokenizer(template).save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": template.eot}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert verify(name, tmp_path / "tokenizer.json", hf=tmp_path, cases=40).exact


def test_a_tokenizer_written_in_python_is_compared_too() -> None:
    """It has no backend whose flag could be reset."""
    tokenizer = transformers.ByT5Tokenizer(extra_ids=0)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<s>", "<|end_of_turn|>"]})
    ids = tokenizer.get_vocab()
    codec = Codec.from_callable(
        lambda text: [3 + byte for byte in text.encode()],
        "openchat_v3.2",
        control_ids={token: ids[token] for token in ("<s>", "<|end_of_turn|>")},
        token_bytes=[None] * 3 + [bytes([value]) for value in range(256)] + [None] * 2,
    )
    comparison = Comparison(where="transformers")
    folder = Folder(path=Path("byt5"), tokenizer=tokenizer)
    notes = check_folder(codec, folder, comparison, seed=0, cases=20)
    assert len(notes) == 1
    assert notes[0].startswith("special strings in text become control tokens unless")
    assert not comparison.causes()


def test_a_conversation_that_spells_a_control_token_is_no_string(trap: Path) -> None:
    codec = load_codec(trap, "openchat_v3.2")
    plain, spelt = (
        Conversation(messages=(Message(role="user", content=text),)) for text in ("hi", "a</s>")
    )
    text = render_prompt(codec, plain)
    assert text == "<s>GPT4 User: hi<|end_of_turn|>GPT4 Assistant:"
    assert render_prompt(codec, spelt) is None


def test_a_model_that_cannot_be_converted_is_a_note(tmp_path: Path, texts: list[str]) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(tmp_path / "unigram"),
        model_type="unigram",
        vocab_size=320,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        byte_fallback=True,
        minloglevel=2,
    )
    report = verify("openchat_v3.2", tmp_path / "unigram.model", cases=20)
    assert report.exact
    assert "it is a UNIGRAM model" in report.notes[0]
