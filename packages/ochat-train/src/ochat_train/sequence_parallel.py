"""DeepSpeed-Ulysses: the tokens of one batch on several ranks, brought together head by head.

Each rank of a group holds an equal run of a packed row's tokens through the whole model. Only
attention looks at other tokens; there, ranks exchange tokens for heads, so that each computes all
tokens of its share of the heads, and change back (Jacobs et al. 2023). What attention computes is
the business of `attention`; that a model can be run this way is proven by `isolation`.

Legend: `own` = tokens of this rank, `tokens` = of the whole row, `own` times the size of the group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed

from .batch import IGNORED, PackedBatch
from .errors import ModelError
from .layout import SequenceLayout

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceGroup:
    """The ranks that hold one batch together.

    Attributes:
        rank: this process's place among them, from 0.
        size: how many there are.
        handle: what torch knows them by.
        host: the same for tensors in the host's memory.
    """

    rank: int
    size: int
    handle: ProcessGroup
    host: ProcessGroup

    def own(self, batch: PackedBatch) -> PackedBatch:
        """This rank's tokens of a batch that all ranks of the group hold.

        Where tokens do not divide by ranks, the last sequence is continued by tokens that predict
        nothing; no other token sees them. `layout` stays the whole row's, and `sums` are of the own
        tokens, so that sums over all ranks count every token once.
        """
        whole = _padded(batch, -batch.tokens % self.size)
        count = whole.tokens // self.size
        first = self.rank * count
        part = slice(first, first + count)
        weights = whole.weights[part].double().numpy()
        ends = np.cumsum(whole.layout.lengths)
        place = np.searchsorted(ends, np.arange(first, first + count), side="right")
        columns = (weights, (weights != 0).astype(np.float64))
        kinds = len(whole.layout.lengths)
        return replace(
            whole,
            input_ids=whole.input_ids[part],
            position_ids=whole.position_ids[part],
            labels=whole.labels[part],
            weights=whole.weights[part],
            sums=np.stack([np.bincount(place, each, kinds) for each in columns], axis=1),
            first=first,
        )

    def heads(self, own: torch.Tensor) -> torch.Tensor:
        """`(own, heads, dim)` to `(tokens, heads / size, dim)`.

        Raises:
            ModelError: the heads do not divide by the ranks.
        """
        if own.shape[1] % self.size:
            raise ModelError(
                f"--sequence-parallel {self.size} shares the heads of attention among {self.size} "
                f"ranks, and the model has {own.shape[1]} of queries, or of keys and values; give "
                "a number that divides both"
            )
        return _Heads.apply(own, self)

    def tokens(self, share: torch.Tensor) -> torch.Tensor:
        """`(tokens, heads / size, dim)` to `(own, heads, dim)`."""
        return _Tokens.apply(share, self)

    def largest(self, value: float) -> float:
        """The largest of the group's values."""
        found = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(found, distributed.ReduceOp.MAX, group=self.host)
        return float(found)

    def share_of_heads(self, values: torch.Tensor) -> torch.Tensor:
        """One value a head, to those of this rank's heads."""
        return values.chunk(self.size)[self.rank]


def join_group(rank: int, world_size: int, size: int) -> SequenceGroup:
    """Makes the groups of neighbouring ranks and returns this rank's; all ranks call it."""
    members = [list(range(first, first + size)) for first in range(0, world_size, size)]
    handles: list[Any] = [distributed.new_group(ranks) for ranks in members]
    hosts: list[Any] = [distributed.new_group(ranks, backend="gloo") for ranks in members]
    own = rank // size
    return SequenceGroup(rank=rank % size, size=size, handle=handles[own], host=hosts[own])


def _padded(batch: PackedBatch, more: int) -> PackedBatch:
    """A batch whose last sequence is `more` tokens longer, which predict nothing."""
    if not more:
        return batch
    *others, last = batch.layout.lengths

    def end(values: torch.Tensor, value: float) -> torch.Tensor:
        return torch.cat([values, values.new_full((more,), value)])

    return replace(
        batch,
        input_ids=end(batch.input_ids, 0),
        # Not beyond the last position: a table of positions may end there.
        position_ids=end(batch.position_ids, int(batch.position_ids[-1])),
        labels=end(batch.labels, IGNORED),
        weights=end(batch.weights, 0.0),
        layout=SequenceLayout.from_lengths([*others, last + more]),
    )


def _exchange(parts: torch.Tensor, group: SequenceGroup) -> torch.Tensor:
    """Part i goes to rank i; what comes back is, at i, what rank i sent here."""
    received = torch.empty_like(parts)
    handle = group.host if parts.device.type == "cpu" else group.handle
    distributed.all_to_all_single(received, parts, group=handle)
    return received


def _to_heads(own: torch.Tensor, group: SequenceGroup) -> torch.Tensor:
    parts = own.unflatten(1, (group.size, -1)).movedim(1, 0).contiguous()
    return _exchange(parts, group).flatten(0, 1)


def _to_tokens(share: torch.Tensor, group: SequenceGroup) -> torch.Tensor:
    parts = _exchange(share.unflatten(0, (group.size, -1)).contiguous(), group)
    return parts.movedim(0, 1).flatten(1, 2)


class _Heads(torch.autograd.Function):
    """Tokens to heads; its gradient goes the other way."""

    # torch declares these methods with *args, and typing.override needs Python 3.12.
    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context object has no public type
        own: torch.Tensor,
        group: SequenceGroup,
    ) -> torch.Tensor:
        ctx.group = group
        return _to_heads(own, group)

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return _to_tokens(grad, ctx.group), None


class _Tokens(torch.autograd.Function):
    """Heads to tokens; its gradient goes the other way."""

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def forward(
        ctx: Any,  # noqa: ANN401
        share: torch.Tensor,
        group: SequenceGroup,
    ) -> torch.Tensor:
        ctx.group = group
        return _to_tokens(share, group)

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        return _to_heads(grad, ctx.group), None
