"""Which examples of a split are trained, how long they may be, and what their tokens count.

A view over what `ochat_data` reads; nothing is copied until an example is asked for.

With n examples, n_c of them under condition c, a supervised token of an example of condition c
counts, by loss mode:

    dataset   what the dataset says                               OpenChat 3.5 and later
    token     1                                                   V1, V2
    sequence  1 / supervised tokens of the example                V3 without --loss_balancing
    class     n / n_c                                             V2-W
    balanced  n / n_c / supervised tokens of the example          V3 --loss_balancing
    crlft     1 under the expert's condition, else 0.1            V3.2 SUPER, arXiv 2309.11235
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .config import LossMode, Overlong

_OTHER_WEIGHT = 0.1


class StoredExample(Protocol):
    """One example as a split hands it out: `ochat_data.Example`."""

    @property
    def id(self) -> str:
        """The record's id."""
        ...

    @property
    def ids(self) -> np.ndarray:
        """int32 `(tokens,)`."""
        ...

    @property
    def weights(self) -> np.ndarray:
        """float32 `(tokens,)`, of each token as a target."""
        ...


class StoredSplit(Protocol):
    """A split in memory: `ochat_data.TokenSplit`."""

    lengths: np.ndarray
    loss_weights: np.ndarray
    supervised: np.ndarray
    conditions: list[str]
    sources: list[str]

    def example(self, index: int) -> StoredExample:
        """One example."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """An example as it is trained.

    Attributes:
        id: the record's id.
        ids: int32 `(tokens,)`.
        weights: float32 `(tokens,)`, the loss weight of each token as a target, not shifted.
        condition: "" where the conversation has none.
    """

    id: str
    ids: np.ndarray
    weights: np.ndarray
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCounts:
    """What became of examples that cannot be trained as they are.

    Attributes:
        cut: examples of which the end was cut off.
        cut_tokens: tokens that were.
        dropped: examples left out because they are too long.
        unsupervised: examples left out because no token of theirs has a weight.
    """

    cut: int = 0
    cut_tokens: int = 0
    dropped: int = 0
    unsupervised: int = 0

    def __str__(self) -> str:
        """The counts that are not zero, for a person; empty if all are."""
        parts = {
            f"{self.cut} examples cut by {self.cut_tokens} tokens": self.cut,
            f"{self.dropped} too long and left out": self.dropped,
            f"{self.unsupervised} without supervision and left out": self.unsupervised,
        }
        return ", ".join(text for text, count in parts.items() if count)


class ExampleSet:
    """The examples of a split that are trained, in the split's order.

    Attributes:
        lengths: int64 `(examples,)`.
        loss_weights: float64 `(examples,)`, sum of the weights of each example's predicted tokens.
        conditions: of each example.
        sources: of each example, "" where nobody said.
        supervised_tokens: tokens of all examples that have a weight and are predicted.
        counts: what was left out or cut.
    """

    def __init__(
        self,
        split: StoredSplit,
        *,
        longest: int | None = None,
        overlong: Overlong = "error",
        mode: LossMode = "dataset",
        factors: Mapping[str, float] | None = None,
    ) -> None:
        """Chooses and weighs examples.

        Args:
            split: where they come from.
            longest: most tokens of an example; None is any number.
            overlong: what happens to a longer one.
            mode: see the module.
            factors: of each condition, as `condition_factors` gives them; None is 1 for all.

        Raises:
            DataError: an example is too long and `overlong` is "error".
        """
        self._split = split
        self._mode: LossMode = mode
        self._factors = factors or {}
        lengths = split.lengths
        limit = int(lengths.max(initial=0)) if longest is None else longest
        too_long = lengths > limit
        if overlong == "error" and too_long.any():
            worst = int(lengths.argmax())
            raise DataError(
                f"{int(too_long.sum())} examples are longer than {limit} tokens (the longest has "
                f"{int(lengths[worst])}); raise --batch-tokens or the model's context, tokenize "
                f"with --max-length {limit}, or pass --overlong cut or --overlong drop"
            )
        self._limit = limit
        fits = ~too_long if overlong == "drop" else np.ones(len(lengths), dtype=bool)
        weights, supervised = self._measure(split, np.flatnonzero(too_long & fits))
        kept = np.flatnonzero(fits & (weights > 0))
        self._kept = kept
        self.lengths: np.ndarray = np.minimum(lengths[kept], limit)
        self.loss_weights: np.ndarray = weights[kept]
        self.conditions: list[str] = [split.conditions[index] for index in kept]
        self.sources: list[str] = [split.sources[index] for index in kept]
        self.supervised_tokens = int(supervised[kept].sum())
        self.counts = FitCounts(
            cut=int((too_long & fits).sum()),
            cut_tokens=int((lengths - limit)[too_long & fits].sum()),
            dropped=int((~fits).sum()),
            unsupervised=int((fits & (weights <= 0)).sum()),
        )

    def __len__(self) -> int:
        """Number of examples."""
        return len(self._kept)

    def example(self, index: int) -> TrainingExample:
        """The example at a place, cut and weighed."""
        place = int(self._kept[index])
        stored, condition = self._split.example(place), self._split.conditions[place]
        ids, weights = stored.ids[: self._limit], stored.weights[: self._limit]
        return TrainingExample(
            id=stored.id, ids=ids, weights=self._weigh(weights, condition), condition=condition
        )

    def _measure(self, split: StoredSplit, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sum of each example's weights, and how many of its predicted tokens have one.

        Only examples that are cut have to be read for it.
        """
        weights = split.loss_weights.astype(np.float64)
        supervised = split.supervised.astype(np.int64)
        for place in cut.tolist():
            own = split.example(place).weights[1 : self._limit]
            weights[place] = own.sum(dtype=np.float64)
            supervised[place] = np.count_nonzero(own)
        if self._mode != "dataset":
            factors = np.array([self._factors.get(name, 1.0) for name in split.conditions])
            each = np.minimum(supervised, 1) if self._per_sequence else supervised
            weights = factors * each
        return weights, supervised

    @property
    def _per_sequence(self) -> bool:
        return self._mode in ("sequence", "balanced")

    def _weigh(self, weights: np.ndarray, condition: str) -> np.ndarray:
        if self._mode == "dataset":
            return weights
        supervised = (weights > 0).astype(np.float32)
        factor = self._factors.get(condition, 1.0)
        if self._per_sequence:
            factor /= max(1.0, float(supervised[1:].sum()))
        return supervised * np.float32(factor)


def condition_factors(
    conditions: Sequence[str], mode: LossMode, *, expert: str, documents: str
) -> dict[str, float]:
    """The factor of each condition's weights.

    Args:
        conditions: of every training example.
        mode: see the module.
        expert: the expert's condition, for `crlft`.
        documents: the condition of plain text, which is no class of its own.

    Raises:
        DataError: nothing is of the expert's condition.
    """
    counts = Counter(name for name in conditions if name != documents)
    if mode == "crlft":
        if expert not in counts:
            known = ", ".join(sorted(counts)) or "none"
            raise DataError(
                f"--expert {expert!r} is no condition of the dataset; its conditions are {known}"
            )
        return {name: 1.0 if name == expert else _OTHER_WEIGHT for name in counts}
    if mode in ("class", "balanced"):
        return {name: counts.total() / count for name, count in counts.items()}
    return {}
