"""The weighted loss at a vocabulary of 128,256: memory and time against holding all logits.

Sides: ours (`ochat_train.loss.weighted_loss`), full logits with a weighted cross entropy, and the
usual remedy, chunks of 256 supervised rows under activation checkpointing. With --native, also
PyTorch's own `linear_cross_entropy` (minutes on a CPU). All four compute the same weighted sum and
its gradients. Memory is the kernel's peak mark above what was resident before, each side in a
process of its own; time is measured in turns in one process.

    python benchmarks/loss_memory.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from bench import (
    announce,
    in_own_process,
    interleave,
    leave,
    memory_mib,
    parser,
    reset_peak_memory,
    verdict,
)
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ochat_train.batch import IGNORED
from ochat_train.head import OutputHead
from ochat_train.loss import weighted_loss

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of the comparison, and the threads of torch."""

    tokens: int
    hidden: int
    vocabulary: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Hidden states and a head that want gradients, labels half of which are masked, weights."""

    hidden: torch.Tensor
    head: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


def make_inputs(shape: Shape) -> Inputs:
    """The same random problem in every process."""
    torch.set_num_threads(shape.threads)
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, shape.vocabulary, (shape.tokens,), generator=draw)
    labels[torch.rand(shape.tokens, generator=draw) < 0.5] = IGNORED
    weights = torch.rand(shape.tokens, generator=draw) * (labels != IGNORED)
    return Inputs(
        hidden=torch.randn(shape.tokens, shape.hidden, generator=draw, requires_grad=True),
        head=(torch.randn(shape.vocabulary, shape.hidden, generator=draw) * 0.02).requires_grad_(),
        labels=labels,
        weights=weights / weights.sum(),
    )


def ours(inputs: Inputs) -> torch.Tensor:
    """The trainer's loss."""
    head = OutputHead(weight=inputs.head)
    return weighted_loss(head, inputs.hidden, inputs.labels, inputs.weights).loss


def full(inputs: Inputs) -> torch.Tensor:
    """All logits at once."""
    logits = inputs.hidden @ inputs.head.T
    losses = cross_entropy(logits, inputs.labels, reduction="none", ignore_index=IGNORED)
    return (losses * inputs.weights).sum()


def chunked(inputs: Inputs) -> torch.Tensor:
    """Supervised rows in chunks whose logits are computed again for the backward pass."""

    def part(hidden: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        logits = hidden @ inputs.head.T
        return (cross_entropy(logits, labels, reduction="none") * weights).sum()

    rows = torch.nonzero(inputs.labels != IGNORED).flatten()
    pieces = (inputs.hidden[rows], inputs.labels[rows], inputs.weights[rows])
    total = torch.zeros(())
    for hidden, labels, weights in zip(*(piece.split(CHUNK) for piece in pieces), strict=True):
        total = total + checkpoint(part, hidden, labels, weights, use_reentrant=False)
    return total


def native(inputs: Inputs) -> torch.Tensor:
    """PyTorch's own fused loss, which takes weights only outside."""
    losses = torch.nn.functional.linear_cross_entropy(
        inputs.hidden,
        inputs.head,
        inputs.labels,
        reduction="none",
        ignore_index=IGNORED,
        options=torch.nn.LinearCrossEntropyOptions(),
    )
    return (losses * inputs.weights).sum()


SIDES: dict[str, Callable[[Inputs], torch.Tensor]] = {
    "ours": ours,
    "full logits": full,
    "chunks + checkpoint": chunked,
    "torch linear_cross_entropy": native,
}


def peak(name: str, shape: Shape) -> tuple[float, float, float]:
    """Extra peak memory in MiB, the loss, and the norm of the head's gradient."""
    inputs = make_inputs(shape)
    # The first product of a process allocates the libraries' own buffers.
    _ = inputs.hidden[:8] @ inputs.head[:8].T
    reset_peak_memory()
    before = memory_mib("VmRSS")
    loss = SIDES[name](inputs)
    loss.backward()
    extra = memory_mib("VmHWM") - before
    assert inputs.head.grad is not None, "every side has a gradient of the head"  # noqa: S101
    return extra, float(loss.detach()), float(inputs.head.grad.norm())


def step(name: str, inputs: Inputs) -> Callable[[], None]:
    """One loss with its gradients, which are then dropped."""

    def run() -> None:
        SIDES[name](inputs).backward()
        inputs.hidden.grad = inputs.head.grad = None

    return run


def main() -> None:
    """Measures memory, then time, and prints both as ratios."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--tokens", type=int, default=2048, help="default: %(default)s")
    options.add_argument("--hidden", type=int, default=512, help="default: %(default)s")
    options.add_argument("--vocabulary", type=int, default=128_256, help="default: %(default)s")
    options.add_argument("--native", action="store_true", help="also torch's own fused loss")
    given = options.parse_args()
    shape = Shape(
        tokens=given.tokens,
        hidden=given.hidden,
        vocabulary=given.vocabulary,
        threads=given.threads,
    )
    announce()
    print(f"{shape}, float32, half the tokens masked, float weights")
    names = [name for name in SIDES if given.native or name != "torch linear_cross_entropy"]
    memory = {name: in_own_process(peak, name, shape) for name in names}
    inputs = make_inputs(shape)
    times = interleave(given.rounds, {name: step(name, inputs) for name in names})
    print(f"{'':28}{'extra peak MiB':>15}{'CPU s':>8}{'wall s':>8}{'loss':>12}{'|dW|':>12}")
    for name in names:
        mib, loss, norm = memory[name]
        time = times[name]
        print(f"{name:28}{mib:15.0f}{time.cpu:8.2f}{time.wall:8.2f}{loss:12.7f}{norm:12.8f}")
    ours_time, full_time = times["ours"], times["full logits"]
    leave(
        verdict("memory, ours / full", memory["ours"][0] / memory["full logits"][0], at_most=0.2),
        verdict("CPU time, full / ours", full_time.cpu / ours_time.cpu, at_least=1.0),
        verdict("wall time, full / ours", full_time.wall / ours_time.wall, at_least=1.0),
    )


if __name__ == "__main__":
    main()
