from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ochat_train.batch import IGNORED, collate


@dataclass(frozen=True)
class Example:
    ids: np.ndarray
    weights: np.ndarray
    condition: str = ""


def _example(ids: list[int], weights: list[float], condition: str = "") -> Example:
    return Example(np.array(ids, np.int32), np.array(weights, np.float32), condition)


def test_labels_and_weights_are_shifted_inside_each_sequence() -> None:
    batch = collate(
        [
            _example([1, 2, 3, 4], [0, 0, 1.0, 0.5], "GPT4"),
            _example([5, 6], [1.0, 0.1], "GPT3"),
        ]
    )
    assert batch.input_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.position_ids.tolist() == [0, 1, 2, 3, 0, 1]
    assert batch.layout.cu_seqlens.tolist() == [0, 4, 6]
    assert batch.layout.cu_seqlens.dtype == torch.int32
    assert batch.layout.max_length == 4
    assert batch.labels.tolist() == [IGNORED, 3, 4, IGNORED, 6, IGNORED]
    assert torch.equal(batch.weights, torch.tensor([0.0, 1.0, 0.5, 0.0, 0.1, 0.0]))
    assert batch.conditions == ("GPT4", "GPT3")


def test_the_last_token_of_a_conversation_never_predicts_the_next_one() -> None:
    batch = collate([_example([1, 2], [1, 1]), _example([3, 4], [1, 1]), _example([5], [1])])
    assert batch.labels.tolist() == [2, IGNORED, 4, IGNORED, IGNORED]
    assert batch.weights.tolist() == [1, 0, 1, 0, 0]


def test_a_rank_without_examples_still_has_a_batch_that_counts_nothing() -> None:
    batch = collate([])
    assert batch.tokens == 1
    assert batch.labels.tolist() == [IGNORED]
    assert batch.weights.sum() == 0
