"""ZeRO stages 0 to 3 of a 1B Llama: tokens/s and memory of a rank, one table.

Every stage is a run of its own under torchrun: the trainer's engine, packed batches of the lengths
of conversations, bf16, one step to warm up. The losses of all stages must agree. Memory is the
GPU's peak allocation, on a CPU the process's peak resident size. Beside it stands what
`ochat-train plan` estimates, without the framework's own.

    python benchmarks/zero_stages.py --ranks 8                         needs CUDA
    python benchmarks/zero_stages.py --device cpu --shape tiny         the same code at toy size
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from bench import announce, leave, parser, verdict
from gpu_sides import LR, SHAPES, Tokens, peak_gib, reset_peak, synchronize

from ochat_data import plan_batches
from ochat_train import TrainConfig, probe_isolation
from ochat_train.batch import collate
from ochat_train.engine_choice import choose_engine
from ochat_train.memory import count_parameters, estimate_memory
from ochat_train.model import enable_gradient_checkpointing

# Between stages: sums in another order, in the precision of the run.
TOLERANCES = {"fp32": 1e-5, "bf16": 2e-2}
STAGES = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one stage took, from rank 0."""

    tokens_per_second: float
    peak_gib: float
    estimate_gib: float
    losses: list[float]


def work(given: argparse.Namespace) -> None:
    """One rank of one stage; rank 0 writes the figures."""
    torch.set_num_threads(given.threads)
    config = TrainConfig(
        model=Path(),
        data=Path(),
        output=Path(),
        precision=given.precision,
        zero_stage=given.worker,
        engine="deepspeed",
    )
    choice = choose_engine(config)
    choice.start()
    shape = SHAPES[given.shape]
    model = shape.build()
    sizes = count_parameters(model.config)
    probe_isolation(model)
    if given.checkpointing:
        enable_gradient_checkpointing(model)
    engine = choice.build(model.train(), 1)
    capacity = given.rows * shape.longest
    lengths = np.random.default_rng(0).integers(
        shape.longest // 8, shape.longest, 4 * given.rows * choice.world_size * (given.steps + 1)
    )
    plan = plan_batches(lengths, capacity=capacity, world_size=choice.world_size)
    losses: list[float] = []
    tokens, started = 0, 0.0
    for step in range(given.steps + 1):
        if step == 1:
            synchronize(given.device)
            reset_peak(given.device)
            tokens, started = 0, time.perf_counter()
        draw = np.random.default_rng(step * choice.world_size + choice.rank)
        examples = [
            Tokens(ids=draw.integers(0, shape.vocabulary, n), weights=np.ones(n, "f4"))
            for n in lengths[plan.batch(step, choice.rank)]
        ]
        everywhere = [int(lengths[plan.batch(step, r)].sum()) for r in range(choice.world_size)]
        tokens += sum(everywhere)
        sums = engine.train_step([collate(examples)], float(sum(everywhere)), LR)
        losses.append(float(engine.sum_over_ranks(sums.loss.double().cpu())))
    synchronize(given.device)
    seconds = time.perf_counter() - started
    estimate = estimate_memory(
        sizes,
        batch_tokens=capacity,
        world_size=choice.world_size,
        zero_stage=given.worker,
        gradient_checkpointing=given.checkpointing,
        half=given.precision == "bf16",
    )
    if choice.rank == 0:
        figures = Figures(
            tokens_per_second=tokens / seconds,
            peak_gib=peak_gib(given.device),
            estimate_gib=estimate.total / 2**30,
            losses=losses,
        )
        given.figures.write_text(json.dumps(asdict(figures)))


def measure(given: argparse.Namespace, stage: int) -> Figures | None:
    """Starts the ranks of one stage; None where they failed, whose last words are printed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
        command += [str(given.ranks), "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
        command += [__file__, *sys.argv[1:], "--worker", str(stage), "--figures", str(file)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
        done = subprocess.run(  # noqa: S603 - our own command line
            command, env=environment, capture_output=True, text=True
        )
        if done.returncode == 0:
            return Figures(**json.loads(file.read_text()))
        print(f"ZeRO {stage} failed:\n{done.stderr[-2000:]}")
        return None


def main() -> None:
    """Measures all stages and prints the table."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options.add_argument("--shape", choices=sorted(SHAPES), default="1b")
    options.add_argument("--ranks", type=int, default=2)
    options.add_argument("--rows", type=int, default=4, help="longest conversations a rank")
    options.add_argument("--steps", type=int, default=10, help="timed steps")
    options.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options.add_argument("--checkpointing", action="store_true")
    options.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options.add_argument("--figures", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.worker is not None:
        work(given)
        return
    if given.device == "cuda" and torch.cuda.device_count() < given.ranks:
        found = torch.cuda.device_count()
        sys.exit(f"{given.ranks} ranks need as many GPUs, here are {found}; try --device cpu")
    announce("deepspeed")
    print(f"{given.shape}, {given.ranks} ranks, {given.precision}")
    print(f"{'':8}{'tokens/s':>10}{'peak GiB':>10}{'estimate':>10}")
    found = {stage: measure(given, stage) for stage in STAGES}
    for stage, each in found.items():
        if each is not None:
            print(
                f"ZeRO {stage}  {each.tokens_per_second:10,.0f}{each.peak_gib:10.2f}"
                f"{each.estimate_gib:10.2f}"
            )
    losses = [np.array(each.losses) for each in found.values() if each is not None]
    spread = max(float(np.abs(each / losses[0] - 1).max()) for each in losses) if losses else 1.0
    leave(
        verdict("stages that ran", float(len(losses)), at_least=float(len(STAGES))),
        verdict("losses between stages", spread, at_most=TOLERANCES[given.precision]),
    )


if __name__ == "__main__":
    main()
