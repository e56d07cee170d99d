from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import (
    DatasetError,
    Record,
    TokenDataset,
    TokenDatasetBuilder,
    TokenizeOptions,
    write_token_dataset,
)
from ochat_data.truncation import cut
from ochat_templates import Codec, ConditionError, Encoded, Span


def test_cutting_keeps_the_first_tokens_and_their_spans() -> None:
    spans = (Span(start=1, end=3, weight=0.1), Span(start=4, end=6, weight=1.0))
    encoded = Encoded(ids=[1, 2, 3, 4, 5, 6], spans=spans)
    shorter = cut(encoded, 5)
    assert shorter.ids == [1, 2, 3, 4, 5]
    assert shorter.weights() == [0.0, 0.1, 0.1, 0.0, 1.0]
    assert cut(encoded, 4).spans == spans[:1]


def test_long_examples_are_cut_or_dropped_and_counted(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    records = [talk("Hi", "Hello"), talk("Hi", "word " * 200)]
    for policy, kept in (("cut", 2), ("drop", 1)):
        options = TokenizeOptions(max_length=40, truncation=policy)
        manifest = write_token_dataset(tmp_path / policy, records, codec, options)
        assert manifest.splits["train"].totals.examples == kept
        assert (manifest.truncation.cut, manifest.truncation.dropped) == (kept - 1, 2 - kept)
        lengths = TokenDataset.open(tmp_path / policy).split("train").lengths
        assert lengths.max() <= 40


def test_examples_with_nothing_to_learn_are_left_out_and_counted(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    records = [talk("Hi", "Hello"), talk("Only a question"), talk("Hi", "no", weight=0.0)]
    records.append(talk("question " * 100, "out of reach"))
    manifest = write_token_dataset(tmp_path / "set", records, codec, TokenizeOptions(max_length=60))
    assert manifest.splits["train"].totals.examples == 1
    assert manifest.nothing_to_learn == 3


def test_the_default_length_is_the_templates(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    manifest = write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec)
    assert manifest.context_length == codec.template.context_length == 4096
    assert manifest.weight_preset == "per-message"


def test_the_eval_split_depends_on_id_and_seed_not_on_order(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    records = [talk(f"Hi {number}", "Hello") for number in range(200)]

    def held_out(name: str, given: list[Record], seed: int) -> set[str]:
        options = TokenizeOptions(eval_fraction=0.25, seed=seed)
        write_token_dataset(tmp_path / name, given, codec, options)
        return set(TokenDataset.open(tmp_path / name).split("eval").record_ids)

    first = held_out("a", records, seed=0)
    assert first == held_out("b", records[::-1], seed=0)
    assert first != held_out("c", records, seed=1)
    assert 25 <= len(first) <= 75


def test_a_dataset_without_examples_is_an_error_and_leaves_nothing(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    with pytest.raises(DatasetError, match="nothing was left to train on: 1 examples"):
        write_token_dataset(tmp_path / "set", [talk("Hi")], codec)
    assert not list(tmp_path.iterdir())


def test_a_dataset_without_training_examples_is_an_error(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    options = TokenizeOptions(eval_fraction=0.999999)
    with pytest.raises(DatasetError, match="lower --eval-fraction"):
        write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec, options)
    assert not list(tmp_path.iterdir())


def test_a_condition_that_the_template_does_not_know_is_the_records_error(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    with TokenDatasetBuilder(tmp_path / "set", codec) as builder:
        with pytest.raises(ConditionError, match="Claude"):
            builder.add(talk("Hi", "Hello", condition="Claude"))
        assert builder.add(talk("Hi", "Hello", condition="GPT3"))
        manifest = builder.finish()
    assert list(manifest.splits["train"].conditions) == ["GPT3"]


@pytest.mark.parametrize(
    "wrong", [{"max_length": 1}, {"truncation": "fold"}, {"eval_fraction": 1.0}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match=next(iter(wrong))):
        TokenizeOptions(**wrong)  # pyrefly: ignore[bad-argument-type]
