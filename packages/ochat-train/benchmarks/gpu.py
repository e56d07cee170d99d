"""On a GPU: MFU, tokens/s and memory of a 1B and a 3B Llama in bf16, and whether packing is exact.

One table: ours (packed, `varlen_attn` or flash-attn), the same conversations padded to the maximum
and to the longest of a rectangle (Transformers with sdpa), and TRL's SFTTrainer with packing where
it is installed. MFU counts the flops of real tokens only. Each side runs in a process of its own;
one that does not fit is shown as out of memory. Before it, the isolation probe and the equality of
packed and separate sequences, loss and gradients, in float32 and in bf16.

    python benchmarks/gpu.py                                 both shapes; needs CUDA
    python benchmarks/gpu.py --device cpu --shape tiny       the same code at toy size
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from bench import announce, in_own_process, installed, leave, parser, verdict
from gpu_sides import SHAPES, Job, Outcome, Tokens, ours, padded_to_longest, padded_to_maximum, trl
from torch import nn

from ochat_train import probe_isolation
from ochat_train.attention import packed
from ochat_train.batch import collate
from ochat_train.forward import TrainingModule

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# Relative differences: rounding of sums in another order, in float32 and in bf16.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
LENGTHS = (7, 33, 1, 64, 20, 5, 130)
SIDES = {
    "ours, packed": ours,
    "padded, longest of rows": padded_to_longest,
    "padded, maximum": padded_to_maximum,
    "TRL, packed": trl,
}


def gradients(
    module: TrainingModule, groups: Sequence[Sequence[Tokens]], dtype: torch.dtype
) -> tuple[float, torch.Tensor]:
    """Loss and all gradients in a row, of sequences that are packed group by group."""
    module.zero_grad(set_to_none=True)
    device = module.model.device
    total = float(sum(len(example.ids) - 1 for group in groups for example in group))
    loss = 0.0
    for group in groups:
        batch = collate(group).to(device)
        with packed(batch.layout):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                part = module(batch, total)[0]
            part.backward()
        loss += float(part.detach())
    grads = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return loss, torch.cat(grads)


def check_equality(device: str, dtype: torch.dtype) -> list[bool]:
    """Probes a tiny model, then compares packed with separate sequences."""
    # The probe in the precision itself: 16-bit values take another kernel than float32.
    probed = SHAPES["tiny"].build(device)
    nn.Module.to(probed, dtype)
    probe_isolation(probed)
    print(f"{device}, {str(dtype).removeprefix('torch.')}: isolation probe passed")
    model = SHAPES["tiny"].build(device)
    probe_isolation(model)
    module = TrainingModule(model.train())
    draw = np.random.default_rng(0)
    examples = [
        Tokens(ids=draw.integers(0, SHAPES["tiny"].vocabulary, n), weights=np.ones(n, "f4"))
        for n in LENGTHS
    ]
    loss, together = gradients(module, [examples], dtype)
    alone_loss, alone = gradients(module, [[example] for example in examples], dtype)
    name = f"{device}, {str(dtype).removeprefix('torch.')}: packed against separate,"
    limit = TOLERANCES[dtype]
    difference = float((together - alone).norm() / alone.norm())
    return [
        verdict(f"{name} loss", abs(loss - alone_loss) / alone_loss, at_most=limit),
        verdict(f"{name} gradients", difference, at_most=limit),
    ]


def compare(given: argparse.Namespace, shape: str) -> None:
    """Runs all sides of one shape and prints their lines."""
    job = Job(
        shape=shape,
        device=given.device,
        rows=given.rows,
        steps=given.steps,
        checkpointing=given.checkpointing or shape == "3b",
        threads=given.threads,
    )
    base: Outcome | None = None
    note = ", activations computed again" if job.checkpointing else ""
    print(f"\n{shape}: {given.rows} x {job.longest} tokens a step, {given.steps} steps{note}")
    print(f"{'':25}{'tokens/s':>10}{'ours':>8}{'MFU':>8}{'peak GiB':>10}  attention")
    for name, side in SIDES.items():
        if side is trl and not installed("trl"):
            continue
        try:
            found: Outcome = in_own_process(side, job)
        except torch.OutOfMemoryError:
            print(f"{name:25}{'out of memory':>18}")
            continue
        base = base or found
        rate = found.tokens / found.seconds
        ratio = base.tokens / base.seconds / rate
        mfu = "-" if found.mfu is None else f"{found.mfu:.1%}"
        print(
            f"{name:25}{rate:10,.0f}{ratio:7.2f}x{mfu:>8}{found.peak_gib:10.2f}  {found.used}",
            flush=True,
        )


def main() -> None:
    """Checks exactness, then measures."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options.add_argument("--shape", nargs="+", choices=sorted(SHAPES), default=["1b", "3b"])
    options.add_argument("--rows", type=int, default=4, help="longest conversations a step")
    options.add_argument("--steps", type=int, default=10, help="timed steps")
    options.add_argument(
        "--checkpointing", action="store_true", help="also for 1b; 3b always does it"
    )
    given = options.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here: run this on a GPU, or try --device cpu --shape tiny")
    if given.device == "cpu" and torch.cuda.is_available():
        sys.exit("with a GPU in sight the engine uses it: set CUDA_VISIBLE_DEVICES= to try the CPU")
    announce("trl", "flash-attn")
    if given.device == "cuda":
        print(f"GPU: {torch.cuda.get_device_name()}")
    torch.set_num_threads(given.threads)
    dtypes = [torch.float32, torch.bfloat16]
    reached = [ok for dtype in dtypes for ok in check_equality(given.device, dtype)]
    for shape in given.shape:
        compare(given, shape)
    print("column ours: tokens/s of ours / tokens/s of that side")
    leave(*reached)


if __name__ == "__main__":
    main()
