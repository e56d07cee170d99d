"""Mixtures take what was asked for, whatever the order, and documents become examples whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_data import InputError, Record, TokenDataset, TokenizeOptions, write_token_dataset
from ochat_data.file_mixing import FileShare
from ochat_data.mixing import copies_by_tokens, copies_by_weight, copy_id
from ochat_templates import Codec

Talk = Callable[..., Record]
Command = Callable[..., tuple[int, str, str]]


@given(weight=st.floats(0, 5), seed=st.integers(0, 9))
def test_weights_are_kept_on_average_and_by_each_record(weight: float, seed: int) -> None:
    copies = [copies_by_weight(f"{number:032x}", weight, seed) for number in range(2000)]
    assert set(copies) <= {int(weight), int(weight) + 1}
    assert sum(copies) == pytest.approx(weight * 2000, abs=110)  # five standard deviations


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60), tokens=st.integers(0, 4000))
def test_tokens_are_reached_and_passed_by_one_record_at_most(
    lengths: list[int], tokens: int
) -> None:
    ids = [f"{number:032x}" for number in range(len(lengths))]
    copies = copies_by_tokens(ids, lengths, tokens, seed=1)
    taken = sum(count * length for count, length in zip(copies, lengths, strict=True))
    assert tokens <= taken < tokens + max(lengths)
    assert max(copies) - min(copies) <= 1
    backwards = copies_by_tokens(ids[::-1], lengths[::-1], tokens, seed=1)
    assert backwards[::-1] == copies


def test_copies_have_ids_of_their_own() -> None:
    ids = [copy_id("a" * 32, number) for number in range(50)]
    assert ids[0] == "a" * 32
    assert len(set(ids)) == 50


@pytest.mark.parametrize("text", ["a=x", "a=-1", "a=1.5t", "a=nan"])
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected FILE=WEIGHT or FILE=TOKENSt"):
        FileShare.parse(text)


def test_the_command_mixes_by_weight_and_by_tokens(
    tmp_path: Path, talk: Talk, command: Command, tokenizer_path: Path, codec: Codec
) -> None:
    chats = [talk(f"Hi {number}", "Hello", condition="GPT4") for number in range(400)]
    books = [Record.create_document(f"{number} words " * 20) for number in range(100)]
    for name, records in (("a.jsonl", chats), ("b.jsonl", books)):
        (tmp_path / name).write_bytes(b"".join(record.to_line() for record in records))
    output = tmp_path / "mixed.jsonl"
    sources = (f"{tmp_path}/a.jsonl=0.25", f"{tmp_path}/b.jsonl=1000t")
    assert "needs --template" in command("mix", *sources, "--output", output)[2]
    options = ("--template", "openchat_v3.2", "--tokenizer", tokenizer_path)
    code, _, errors = command("mix", *sources, "--output", output, *options)
    assert code == 0
    mixed = [Record.from_json(json.loads(line)) for line in output.read_bytes().splitlines()]
    documents = [record for record in mixed if record.is_document]
    tokens = [len(codec.encode_text(record.text)) for record in documents]
    assert 1000 <= sum(tokens) < 1000 + max(tokens)
    assert 60 < len(mixed) - len(documents) < 140
    assert "500 in = " in errors
    assert "dropped (not in the mixture) + 0 rejected" in errors


def test_every_token_of_a_document_is_trained_behind_a_bos(tmp_path: Path, codec: Codec) -> None:
    document = Record.create_document("The capital of France is Paris. " * 30, weight=0.5)
    options = TokenizeOptions(max_length=64)
    manifest = write_token_dataset(tmp_path / "set", [document], codec, options)
    split = TokenDataset.open(tmp_path / "set").split("train")
    examples = [split.example(index) for index in range(len(split))]
    assert all(example.ids[0] == codec.bos_id for example in examples)
    text = [token for example in examples for token in example.ids[1:].tolist()]
    assert text == codec.encode_text(document.text)
    assert all(set(example.weights[1:]) == {0.5} for example in examples)
    assert len({example.id for example in examples}) == len(examples) > 3
    assert manifest.splits["train"].conditions["document"].examples == len(examples)
    assert manifest.truncation.lost_tokens == 0
