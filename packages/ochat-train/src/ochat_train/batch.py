"""A packed batch: several token sequences laid end to end, with labels that never cross a border.

Takes examples as `ochat_data` hands them out; which examples share a batch is the plan's business.

Legend: `tokens` = sum of the sequence lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from .layout import SequenceLayout

if TYPE_CHECKING:
    from collections.abc import Sequence

# Label of a position that predicts nothing (the last token of every sequence, or weight zero).
IGNORED = -100


class TokenExample(Protocol):
    """What is needed of an example: `ochat_data.Example` has it."""

    @property
    def ids(self) -> np.ndarray:
        """int32 `(length,)`."""
        ...

    @property
    def weights(self) -> np.ndarray:
        """float32 `(length,)`, the loss weight of each token as a target (not shifted)."""
        ...

    @property
    def condition(self) -> str:
        """The condition of the conversation, "" where it has none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Sequences of one step on one rank.

    Attributes:
        input_ids: int64 `(tokens,)`.
        position_ids: int64 `(tokens,)`, from 0 in every sequence.
        labels: int64 `(tokens,)`, the next token of the same sequence, or `IGNORED`.
        weights: float32 `(tokens,)`, the loss weight of that next token.
        layout: the borders of the sequences (`cu_seqlens`, `max_length`).
        conditions: one per sequence.
        sums: float64 `(sequences, 2)`, each one's sum of loss weights and number of supervised
            positions.
        first: place of `input_ids[0]` in the row, where the tensors are a part of it.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    layout: SequenceLayout
    conditions: tuple[str, ...]
    sums: np.ndarray
    first: int = 0

    @property
    def tokens(self) -> int:
        """Tokens in the batch, without any padding."""
        return self.input_ids.numel()

    def to(self, device: torch.device) -> PackedBatch:
        """The same batch on `device`; itself where it already is there."""
        if self.input_ids.device == device:
            return self
        return PackedBatch(
            input_ids=self.input_ids.to(device, non_blocking=True),
            position_ids=self.position_ids.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            weights=self.weights.to(device, non_blocking=True),
            layout=SequenceLayout.from_lengths(self.layout.lengths, device),
            conditions=self.conditions,
            sums=self.sums,
            first=self.first,
        )


def collate(examples: Sequence[TokenExample]) -> PackedBatch:
    """Lays `examples` end to end.

    No examples at all (a rank without work in the last step) give one token that predicts
    nothing, because every rank has to take part in every step.
    """
    if not examples:
        return _idle_batch()
    ids = np.concatenate([example.ids for example in examples]).astype(np.int64)
    unshifted = np.concatenate([example.weights for example in examples]).astype(np.float32)
    lengths = [len(example.ids) for example in examples]
    ends = np.cumsum(lengths, dtype=np.int64)
    weights = np.zeros_like(unshifted)
    weights[:-1] = unshifted[1:]
    weights[ends - 1] = 0.0
    labels = np.full_like(ids, IGNORED)
    supervised = np.flatnonzero(weights)
    labels[supervised] = ids[supervised + 1]
    starts: np.ndarray = ends - np.asarray(lengths, dtype=np.int64)
    of_sequence = [weights.astype(np.float64), (weights != 0).astype(np.float64)]
    positions = np.arange(len(ids)) - np.repeat(starts, lengths)
    return PackedBatch(
        input_ids=torch.from_numpy(ids),
        position_ids=torch.from_numpy(positions),
        labels=torch.from_numpy(labels),
        weights=torch.from_numpy(weights),
        layout=SequenceLayout.from_lengths(lengths),
        conditions=tuple(example.condition for example in examples),
        sums=np.stack([np.add.reduceat(values, starts) for values in of_sequence], axis=1),
    )


def _idle_batch() -> PackedBatch:
    return PackedBatch(
        input_ids=torch.zeros(1, dtype=torch.int64),
        position_ids=torch.zeros(1, dtype=torch.int64),
        labels=torch.full((1,), IGNORED),
        weights=torch.zeros(1),
        layout=SequenceLayout.from_lengths([1]),
        conditions=("",),
        sums=np.zeros((1, 2)),
    )
