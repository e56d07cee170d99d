"""Weighted cross entropy from hidden states, without ever holding all logits.

The logits of a chunk of positions live only while that chunk is worked on; gradients are computed
in the same pass. What the head is comes from `head`, what the sum is divided by from the caller.

Legend: `rows` = positions that predict something, `hidden` (tokens, hidden), `weight`
(vocab, hidden).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .batch import IGNORED

if TYPE_CHECKING:
    from .head import OutputHead

# Logits of one chunk: 2**24 floats are 64 MiB, 130 rows of a vocabulary of 128k. Three such arrays
# are alive at the peak; twice as many rows are 6 % faster and miss a fifth of full logits' memory.
_CHUNK_LOGITS = 1 << 24
_MAX_CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSums:
    """Sums over the supervised positions of a batch, as tensors on its device.

    Attributes:
        loss: scalar, the sum of weight times negative log-likelihood; carries the gradient.
        rows: int64 `(rows,)`, the supervised positions.
        losses: float32 `(rows,)`, their negative log-likelihoods without weight or gradient.
        hits: bool `(rows,)`, whether each has its label as the largest logit.
    """

    loss: torch.Tensor
    rows: torch.Tensor
    losses: torch.Tensor
    hits: torch.Tensor


def weighted_loss(
    head: OutputHead,
    hidden: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    *,
    chunk_rows: int | None = None,
) -> LossSums:
    """Sum of weighted cross entropies and of correct predictions, with gradients where enabled.

    Args:
        head: what turns hidden states into logits.
        hidden: `(tokens, hidden)`.
        labels: int64 `(tokens,)`; `IGNORED` positions are never multiplied with the head.
        weights: float32 `(tokens,)`, may hold any normalisation already.
        chunk_rows: positions per chunk; None chooses by the vocabulary.
    """
    rows = torch.nonzero(labels != IGNORED).flatten()
    arguments = _Arguments(
        rows=rows,
        labels=labels[rows],
        weights=weights[rows].float(),
        scale=head.scale,
        softcap=head.softcap,
        chunk_rows=chunk_rows or rows_per_chunk(head.weight.shape[0]),
        compute=_compute_dtype(hidden),
        with_gradients=torch.is_grad_enabled(),
    )
    loss, losses, hits = _ChunkedLoss.apply(hidden, head.weight, head.bias, arguments)
    return LossSums(loss=loss, rows=rows, losses=losses, hits=hits)


def rows_per_chunk(vocabulary: int) -> int:
    """Positions whose logits are held at once, for a vocabulary of this size."""
    return max(1, min(_MAX_CHUNK_ROWS, _CHUNK_LOGITS // vocabulary))


def _compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    """Precision of the products with the head: autocast's where it is on."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments:
    """What the autograd function needs besides the tensors that get gradients."""

    rows: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    scale: float
    softcap: float | None
    chunk_rows: int
    compute: torch.dtype
    with_gradients: bool


class _ChunkedLoss(torch.autograd.Function):
    """Loss and its gradients in one pass over the chunks; backward only multiplies."""

    # torch declares both methods with *args, and typing.override needs Python 3.12.
    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context object has no public type
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        args: _Arguments,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with torch.autocast(hidden.device.type, enabled=False):
            wanted = ctx.needs_input_grad if args.with_gradients else (False, False, False)
            losses, hits, grads = _forward_and_gradients(hidden, weight, bias, args, wanted)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(losses, hits)
        return (losses * args.weights).sum(), losses, hits

    @staticmethod
    # pyrefly: ignore[bad-override, missing-override-decorator]
    def backward(
        ctx: Any,  # noqa: ANN401
        grad_loss: torch.Tensor,
        *_: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        # In place: a copy of the head's gradient would be the peak of the whole loss. Autograd
        # notices by the version counter if anybody asks for these gradients twice.
        grads = ctx.saved_tensors
        return (*(None if g is None else g.mul_(grad_loss.to(g.dtype)) for g in grads), None)


def _forward_and_gradients(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    args: _Arguments,
    needed: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor | None, ...]]:
    """Losses and hits of the supervised rows, and gradients of the three tensors.

    Sums over chunks are kept in float32: adding hundreds of bfloat16 chunks would lose the small
    ones. The logits' own products run in `args.compute`.
    """
    grad_hidden = torch.zeros_like(hidden) if needed[0] else None
    grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needed[1] else None
    grad_bias = (
        torch.zeros_like(bias, dtype=torch.float32) if bias is not None and needed[2] else None
    )
    table = weight.to(args.compute)
    losses = torch.empty(args.rows.numel(), dtype=torch.float32, device=hidden.device)
    hits = torch.empty(args.rows.numel(), dtype=torch.bool, device=hidden.device)
    for start in range(0, args.rows.numel(), args.chunk_rows):
        chunk = slice(start, start + args.chunk_rows)
        rows, labels, weights = args.rows[chunk], args.labels[chunk], args.weights[chunk]
        inputs = hidden[rows].to(args.compute)
        logits = _logits(inputs, table, bias, args)
        hits[chunk] = logits.argmax(-1) == labels
        slope = None if args.softcap is None else 1.0 - (logits / args.softcap).square()
        normaliser = logits.logsumexp(-1)
        losses[chunk] = normaliser - logits.gather(1, labels[:, None])[:, 0]
        if not any(needed):
            continue
        grad = _logit_gradient(logits, normaliser, labels, weights * args.scale)
        if slope is not None:
            grad *= slope
        if grad_bias is not None:
            grad_bias += grad.sum(0)
        low = grad.to(args.compute)
        if grad_hidden is not None:
            grad_hidden[rows] = (low @ table).to(hidden.dtype)
        if grad_weight is not None:
            _add_product(grad_weight, low.T, inputs)
    grads = (
        grad_hidden,
        None if grad_weight is None else grad_weight.to(weight.dtype),
        None if grad_bias is None or bias is None else grad_bias.to(bias.dtype),
    )
    return losses, hits, grads


def _logits(
    inputs: torch.Tensor, table: torch.Tensor, bias: torch.Tensor | None, args: _Arguments
) -> torch.Tensor:
    """Logits of a chunk in float32, freshly allocated so that they may be overwritten."""
    logits = (inputs @ table.T).float()
    if bias is not None:
        logits += bias.float()
    if args.scale != 1.0:
        logits *= args.scale
    return logits if args.softcap is None else (logits / args.softcap).tanh_() * args.softcap


def _logit_gradient(
    logits: torch.Tensor, normaliser: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Overwrites the logits with weight * (softmax - one at the label)."""
    grad = logits.sub_(normaliser[:, None]).exp_()
    grad[torch.arange(len(labels), device=labels.device), labels] -= 1.0
    return grad.mul_(weights[:, None])


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Adds left @ right to the float32 `total` with float32 accumulation."""
    if left.dtype == torch.float32:
        total.addmm_(left, right)
    elif left.device.type == "cuda":
        total += torch.mm(left, right, out_dtype=torch.float32)
    else:
        total.addmm_(left.float(), right.float())
