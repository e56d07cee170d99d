"""Each preset weighs tokens as the release that it is named for did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ochat_data import LabelError, Record, TokenDataset, TokenizeOptions, write_token_dataset
from ochat_data.weighting import PRESETS, Weighting
from ochat_templates import Codec

Talk = Callable[..., Record]


def chats(talk: Talk) -> list[Record]:
    """One conversation of the expert and three of the other, as ShareGPT has them."""
    return [
        talk("Hi", "Hello", "More", "Another answer", condition="GPT4"),
        *(talk(f"Hi {number}", "Hello there", condition="GPT3") for number in range(3)),
    ]


def weights_of(tmp_path: Path, records: list[Record], codec: Codec, weighting: Weighting) -> object:
    options = TokenizeOptions(weighting=weighting)
    write_token_dataset(tmp_path / "set", records, codec, options)
    split = TokenDataset.open(tmp_path / "set").split("train")
    return [split.example(index).weights for index in range(len(split))]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_its_formula(preset: str, tmp_path: Path, codec: Codec, talk: Talk) -> None:
    records = chats(talk)
    found = weights_of(tmp_path, records, codec, Weighting(preset=preset, expert="GPT4"))
    assert isinstance(found, list)
    n_of = {"GPT4": 1, "GPT3": 3}
    for record, weights in zip(records, found, strict=True):
        condition = record.conversation.condition
        encoded = codec.encode(record.conversation)
        balance = len(records) / n_of[condition]
        supervised = sum(span.end - span.start for span in encoded.spans)
        expected = np.zeros(len(encoded.ids))
        for span in encoded.spans:
            tokens = span.end - span.start
            expected[span.start : span.end] = {
                "per-message": 1.0,
                "uniform": 1.0,
                "v2w": balance,
                "v3-balanced": balance / supervised,
                "turn-mean": 1 / tokens,
                "turn-balanced": balance / tokens,
                "crlft-0.1": 1.0 if condition == "GPT4" else 0.1,
            }[preset]
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("preset", "counts"), [("per-message", 0.3), ("uniform", 1.0), ("turn-mean", 0.3)]
)
def test_message_weights_matter_where_the_release_had_them(
    preset: str, counts: float, tmp_path: Path, codec: Codec, talk: Talk
) -> None:
    record = talk("Hi", "Hello", condition="GPT4", weight=0.3)
    (weights,) = weights_of(tmp_path, [record], codec, Weighting(preset=preset))  # pyrefly: ignore
    tokens = np.count_nonzero(weights)
    expected = counts / tokens if preset == "turn-mean" else counts
    assert weights.max() == pytest.approx(expected)


def test_an_unlearnt_message_stays_so_under_every_preset(
    tmp_path: Path, codec: Codec, talk: Talk
) -> None:
    record = talk("Hi", "Hello", "Again", "Sorry", condition="GPT4")
    first, second, third, last = record.conversation.messages
    from dataclasses import replace

    messages = (first, second, third, replace(last, weight=0.0))
    record = replace(record, conversation=replace(record.conversation, messages=messages))
    end = codec.encode(record.conversation).spans[0].end
    for preset in PRESETS:
        weighting = Weighting(preset=preset, expert="GPT4")
        (weights,) = weights_of(tmp_path / preset, [record], codec, weighting)  # pyrefly: ignore
        assert weights[:end].any()
        assert not weights[end:].any()


def test_factors_of_ones_own_multiply_the_preset(tmp_path: Path, codec: Codec, talk: Talk) -> None:
    weighting = Weighting(preset="v2w", conditions={"GPT3": 0.5})
    found = weights_of(tmp_path, chats(talk), codec, weighting)
    assert isinstance(found, list)
    assert [weights.max() for weights in found] == pytest.approx([4.0, *[4 / 3 * 0.5] * 3])
    manifest = TokenDataset.open(tmp_path / "set").manifest
    assert manifest.weight_preset == "v2w"
    assert manifest.weight_factors == pytest.approx({"GPT3": 4 / 3 * 0.5, "GPT4": 4.0})


def test_the_totals_are_those_of_the_final_weights(
    tmp_path: Path, codec: Codec, talk: Talk
) -> None:
    weights_of(tmp_path, chats(talk), codec, Weighting(preset="v3-balanced"))
    dataset = TokenDataset.open(tmp_path / "set")
    totals = dataset.manifest.splits["train"].conditions
    assert totals["GPT4"].loss_weight == pytest.approx(4.0)
    assert totals["GPT3"].loss_weight == pytest.approx(3 * 4 / 3)
    assert dataset.split("train").loss_weights.sum() == pytest.approx(8.0)


def test_presets_and_factors_that_make_no_sense_are_refused() -> None:
    with pytest.raises(LabelError, match="no weights 'v9'; choose one of per-message"):
        Weighting(preset="v9")
    with pytest.raises(LabelError, match="must be from 0 up"):
        Weighting(conditions={"GPT3": -1.0})


def test_every_preset_that_a_template_names_exists() -> None:
    from ochat_templates import get_template, template_names

    named = {
        preset for name in template_names() for preset in get_template(name).weight_presets.values()
    }
    assert named
    assert named <= set(PRESETS)
