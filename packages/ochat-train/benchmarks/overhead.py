"""What the training loop costs beyond model and optimiser, as a share of a step.

A real `train()` runs on a real token dataset: plan, reading examples, collation, schedule, metrics
on disk, progress line. CPU time is taken around the engine's `train_step` (model, loss, backward,
clipping, AdamW) and around everything from the making of the plan to the end of the loop; what is
left between the two is the overhead. Checkpoints are left out on both sides: how many there are is
the user's choice. As a check, the same batches are then trained by a bare loop, in turns with more
runs of `train()`.

    python benchmarks/overhead.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from bench import DISTRIBUTIONS, announce, leave, parser, verdict
from corpus import make_base, write_dataset
from transformers import AutoModelForCausalLM

import ochat_train.run
from ochat_data import TokenDataset, plan_batches
from ochat_train import TrainConfig, probe_isolation, train
from ochat_train.batch import collate
from ochat_train.engine import SingleProcessEngine
from ochat_train.loop import TrainingLoop
from ochat_train.run_plan import RunPlan

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

LR = 1e-3


class Meter:
    """CPU seconds and calls of functions that are wrapped for the measurement."""

    def __init__(self) -> None:
        """Nothing was spent yet."""
        self.spent: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def watch(self, owner: object, name: str) -> None:
        """Replaces a function of a class or module by one that is timed."""
        inner: Callable[..., Any] = getattr(owner, name)

        @wraps(inner)
        def timed(*arguments: object, **keywords: object) -> object:
            started = time.process_time()
            try:
                return inner(*arguments, **keywords)
            finally:
                taken = time.process_time() - started
                self.spent[name] = self.spent.get(name, 0.0) + taken
                self.calls[name] = self.calls.get(name, 0) + 1

        setattr(owner, name, timed)


def settings(work: Path, given: argparse.Namespace, number: int) -> TrainConfig:
    """One run; its output is a folder of its own."""
    return TrainConfig(
        model=work / "base",
        data=work / "tokens",
        output=work / f"run-{number}",
        epochs=1,
        batch_tokens=given.batch_tokens,
        lr=LR,
        threads=given.threads,
        precision="fp32",
    )


def metered_run(config: TrainConfig, meter: Meter) -> tuple[float, float, int]:
    """CPU seconds of the engine's steps and of the rest of the loop, and the steps."""
    meter.spent.clear()
    meter.calls.clear()
    train(config)
    spent = meter.spent
    inside = spent["train_step"]
    around = spent["__init__"] + spent["run"] - spent.get("save_checkpoint", 0.0)
    return inside, around - inside, meter.calls["train_step"]


def bare_run(config: TrainConfig, tokens: Path) -> float:
    """CPU seconds of the same batches, collated beforehand, through the same engine."""
    model = AutoModelForCausalLM.from_pretrained(config.model, dtype=torch.float32)
    probe_isolation(model)
    engine = SingleProcessEngine(model.train(), config)
    split = TokenDataset.open(tokens).split("train")
    plan = plan_batches(split.lengths, capacity=config.batch_tokens or 0, seed=config.seed)
    batches = [
        collate([split.example(int(i)) for i in plan.batch(step, 0)]) for step in range(plan.steps)
    ]
    started = time.process_time()
    for batch in batches:
        engine.train_step([batch], float(batch.weights.sum()), LR)
    return time.process_time() - started


def main() -> None:
    """Measures the share inside `train()`, and checks it against a bare loop."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--conversations", type=int, default=300, help="default: %(default)s")
    options.add_argument("--hidden", type=int, default=256, help="default: %(default)s")
    options.add_argument("--layers", type=int, default=4, help="default: %(default)s")
    options.add_argument("--batch-tokens", type=int, default=2048, help="default: %(default)s")
    options.add_argument("--divisor", type=int, default=8, help="of lengths (default: %(default)s)")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    announce()
    meter = Meter()
    for owner, name in (
        (RunPlan, "__init__"),
        (TrainingLoop, "run"),
        (SingleProcessEngine, "train_step"),
        (ochat_train.run, "save_checkpoint"),
    ):
        meter.watch(owner, name)
    longest = DISTRIBUTIONS[0].longest // given.divisor
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        codec = make_base(
            work / "base", hidden=given.hidden, layers=given.layers, pieces=2000, longest=longest
        )
        write_dataset(
            work / "tokens",
            codec,
            DISTRIBUTIONS[0],
            conversations=given.conversations,
            divisor=given.divisor,
            seed=0,
        )
        runs: list[tuple[float, float, int]] = []
        bare: list[float] = []
        for number in range(given.rounds):
            config = settings(work, given, number)
            runs.append(metered_run(config, meter))
            bare.append(bare_run(config, work / "tokens"))
    inside, rest = (statistics.median(column) for column in list(zip(*runs, strict=True))[:2])
    steps = runs[0][2]
    print(
        f"Llama, hidden {given.hidden}, {given.layers} layers, float32; {steps} steps of at most "
        f"{given.batch_tokens} tokens, {given.threads} thread(s); medians of {given.rounds} runs"
    )
    print(f"model and optimiser: {inside / steps * 1e3:8.1f} ms CPU a step")
    print(f"all the rest:        {rest / steps * 1e3:8.1f} ms CPU a step")
    print(f"bare loop:           {statistics.median(bare) / steps * 1e3:8.1f} ms CPU a step")
    leave(
        verdict(
            "share of the loop beyond model and optimiser", rest / (inside + rest), at_most=0.03
        )
    )


if __name__ == "__main__":
    main()
