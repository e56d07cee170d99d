from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ochat_train import DataError
from ochat_train.config import LossMode
from ochat_train.examples import ExampleSet, condition_factors

# Two conversations of an expert, three of another source; the third of those teaches nothing.
MASKS = ([0, 0, 1, 1, 1], [0, 1, 1, 0, 1, 1], [0, 1, 1], [0, 0, 1, 1], [0, 0, 0])
CONDITIONS = ["GPT4", "GPT4", "GPT3", "GPT3", "GPT3"]


@dataclass
class Stored:
    id: str
    ids: np.ndarray
    weights: np.ndarray


class Split:
    def __init__(self, weights: list[list[float]], conditions: list[str]) -> None:
        self._weights = [np.array(each, dtype=np.float32) for each in weights]
        self.lengths = np.array([len(each) for each in weights], dtype=np.int64)
        self.loss_weights = np.array([each[1:].sum() for each in self._weights], dtype=np.float64)
        self.supervised = np.array([np.count_nonzero(each[1:]) for each in self._weights])
        self.conditions = conditions
        self.sources = ["here"] * len(conditions)

    def example(self, index: int) -> Stored:
        weights = self._weights[index]
        return Stored(f"{index}", np.arange(len(weights), dtype=np.int32), weights)


def split(scale: float = 1.0) -> Split:
    return Split([[value * scale for value in mask] for mask in MASKS], CONDITIONS)


def weights_of(examples: ExampleSet) -> list[list[float]]:
    return [
        [round(float(w), 6) for w in examples.example(index).weights]
        for index in range(len(examples))
    ]


def test_a_dataset_keeps_its_weights_and_what_teaches_nothing_is_left_out() -> None:
    examples = ExampleSet(split(0.5))
    assert len(examples) == 4
    assert examples.counts.unsupervised == 1
    assert examples.lengths.tolist() == [5, 6, 3, 4]
    assert examples.loss_weights.tolist() == pytest.approx([1.5, 2.0, 1.0, 1.0])
    assert examples.supervised_tokens == 3 + 4 + 2 + 2
    assert weights_of(examples)[2] == [0, 0.5, 0.5]
    assert examples.example(3).id == "3"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token", [1, 1, 1, 1]),
        ("sequence", [1 / 3, 1 / 4, 1 / 2, 1 / 2]),
        ("class", [5 / 2, 5 / 2, 5 / 3, 5 / 3]),
        ("balanced", [5 / 2 / 3, 5 / 2 / 4, 5 / 3 / 2, 5 / 3 / 2]),
        ("crlft", [1, 1, 0.1, 0.1]),
    ],
)
def test_each_mode_counts_tokens_as_its_release_did(mode: LossMode, expected: list[float]) -> None:
    stored = split(0.5)
    factors = condition_factors(
        stored.conditions,
        mode,
        expert="GPT4",
        documents="document",
    )
    examples = ExampleSet(stored, mode=mode, factors=factors)
    for weights, mask, each in zip(weights_of(examples), MASKS, expected, strict=False):
        assert weights == pytest.approx([each * m for m in mask], abs=1e-6)
    sums = [each * sum(mask[1:]) for each, mask in zip(expected, MASKS, strict=False)]
    assert examples.loss_weights.tolist() == pytest.approx(sums, rel=1e-6)


def test_plain_text_is_no_class_of_its_own() -> None:
    factors = condition_factors(
        ["GPT4", "GPT3", "GPT3", "document"], "class", expert="", documents="document"
    )
    assert factors == {"GPT4": 3.0, "GPT3": 1.5}


def test_an_expert_that_nobody_is_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="'GPT5' is no condition.*GPT3, GPT4"):
        condition_factors(CONDITIONS, "crlft", expert="GPT5", documents="document")


def test_examples_that_are_too_long_are_refused_cut_or_left_out() -> None:
    with pytest.raises(DataError, match=r"2 examples are longer than 4 tokens.*has 6.*cut"):
        ExampleSet(split(), longest=4)
    dropped = ExampleSet(split(), longest=4, overlong="drop")
    assert dropped.lengths.tolist() == [3, 4]
    assert dropped.counts.dropped == 2
    cut = ExampleSet(split(), longest=4, overlong="cut")
    assert cut.lengths.tolist() == [4, 4, 3, 4]
    assert (cut.counts.cut, cut.counts.cut_tokens) == (2, 3)
    assert cut.loss_weights.tolist() == [2, 2, 2, 2]
    assert cut.example(1).ids.tolist() == [0, 1, 2, 3]
    assert str(cut.counts) == ("2 examples cut by 3 tokens, 1 without supervision and left out")


def test_a_cut_that_takes_all_that_is_learnt_leaves_the_example_out() -> None:
    cut = ExampleSet(split(), longest=2, overlong="cut")
    assert cut.counts.unsupervised == 3  # of the first, the fourth and the fifth nothing is left
    assert [cut.example(index).id for index in range(len(cut))] == ["1", "2"]


def test_balanced_weights_are_the_formula_that_the_original_wrote() -> None:
    """A straight transcription: 1 / masked tokens after the first, times the group's weight; the
    sum over a batch divided by the sum of the groups' weights (`total_loss_weight`)."""
    stored = split()
    n = len(CONDITIONS)
    group_weights = {name: n / CONDITIONS.count(name) for name in set(CONDITIONS)}
    losses = [np.random.default_rng(i).random(len(mask)) for i, mask in enumerate(MASKS)]
    total, divisor = 0.0, 0.0
    for mask, condition, loss in list(zip(MASKS, CONDITIONS, losses, strict=True))[:4]:
        mask_count = sum(mask[1:])
        loss_weight = group_weights[condition] / mask_count
        total += sum(each * loss_weight for each, m in zip(loss[1:], mask[1:], strict=True) if m)
        divisor += group_weights[condition]
    factors = condition_factors(CONDITIONS, "balanced", expert="", documents="document")
    examples = ExampleSet(stored, mode="balanced", factors=factors)
    ours = sum(
        float((examples.example(i).weights[1:] * losses[i][1:]).sum()) for i in range(len(examples))
    )
    assert ours / float(examples.loss_weights.sum()) == pytest.approx(total / divisor, rel=1e-6)
