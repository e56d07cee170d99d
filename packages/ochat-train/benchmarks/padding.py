"""Padding-free training against padded training of the same model on the same conversations.

Ours is `ochat_train`'s engine on the batches of `ochat_data.plan_batches`. The padded sides are
what is usually written: Transformers' own forward with `attention_mask` and `labels` (sdpa), its
loss, the same AdamW, clipping and number of optimiser steps; they differ in how eight conversations
become a rectangle:

    maximum length    every batch is padded to the model's maximum, as OpenChat's claim means it
    longest of 8      random batches, padded to their longest
    length-grouped 8  batches of neighbours in length, padded to their longest

Lengths are the packing tables' two distributions divided by --divisor, clip included, so that a
step fits a CPU; the share of padding does not change by that. Every token is supervised, so the
loss has the same work a token on all sides. A round trains all conversations once on each side.

The ceiling is that of the tokens saved alone. A figure can be above it: attention over padding
grows with the square of the width, and large rectangles fall out of the processor's caches.

    python benchmarks/padding.py
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from bench import (
    DISTRIBUTIONS,
    Distribution,
    announce,
    interleave,
    leave,
    parser,
    verdict,
)
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from ochat_data import plan_batches
from ochat_train import TrainConfig, probe_isolation
from ochat_train.batch import collate
from ochat_train.engine import SingleProcessEngine, build_optimizer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

BATCH = 8
LR = 2e-5
SETTINGS = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32", lr=LR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A conversation of random tokens, all of which are targets."""

    ids: np.ndarray
    weights: np.ndarray
    condition: str = ""


def make_model(given: argparse.Namespace, longest: int) -> PreTrainedModel:
    """A small Llama, the same on every side."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=given.vocabulary,
        hidden_size=given.hidden,
        intermediate_size=given.hidden * 8 // 3 // 32 * 32,
        num_hidden_layers=given.layers,
        num_attention_heads=given.hidden // 64,
        num_key_value_heads=given.hidden // 64,
        max_position_embeddings=longest,
    )
    return AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="sdpa"
    ).train()


def packed_side(
    model: PreTrainedModel, examples: Sequence[Tokens], longest: int
) -> tuple[Callable[[], None], int]:
    """Our step over a plan with as many steps as the padded sides have; and that number."""
    probe_isolation(model)
    engine = SingleProcessEngine(model.train(), SETTINGS)
    lengths = np.array([len(example.ids) for example in examples])
    capacity = max(longest, int(np.ceil(lengths.sum() / (len(examples) // BATCH) * 1.01)))
    plan = plan_batches(lengths, capacity=capacity)

    def run() -> None:
        for step in range(plan.steps):
            batch = collate([examples[int(i)] for i in plan.batch(step, 0)])
            engine.train_step([batch], float(batch.weights.sum()), LR)

    return run, plan.steps


def padded_side(
    model: PreTrainedModel, batches: Sequence[Sequence[Tokens]], width: int | None
) -> Callable[[], None]:
    """Transformers' step over rectangles of `width`, or as wide as their longest."""
    optimizer = build_optimizer(model, SETTINGS)

    def run() -> None:
        for examples in batches:
            columns = width or max(len(example.ids) for example in examples)
            ids = torch.zeros(len(examples), columns, dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for row, example in enumerate(examples):
                ids[row, : len(example.ids)] = torch.from_numpy(example.ids)
                mask[row, : len(example.ids)] = 1
            labels = ids.masked_fill(mask == 0, -100)
            model(
                input_ids=ids, attention_mask=mask, labels=labels, use_cache=False
            ).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def groups_of(examples: Sequence[Tokens]) -> list[Sequence[Tokens]]:
    """Batches in the given order."""
    return [examples[start : start + BATCH] for start in range(0, len(examples), BATCH)]


def efficiency(batches: Sequence[Sequence[Tokens]], width: int | None) -> float:
    """Share of the cells of the rectangles that hold tokens."""
    lengths = [[len(example.ids) for example in batch] for batch in batches]
    cells = sum(len(batch) * (width or max(batch)) for batch in lengths)
    return sum(map(sum, lengths)) / cells


def compare(distribution: Distribution, given: argparse.Namespace) -> bool:
    """Measures all sides on one distribution and prints their table."""
    longest = distribution.longest // given.divisor
    lengths = distribution.spread(given.conversations, divisor=given.divisor)
    draw = np.random.default_rng(0)
    examples = [
        Tokens(ids=draw.integers(0, given.vocabulary, n), weights=np.ones(n, np.float32))
        for n in lengths
    ]
    random_batches = groups_of(examples)
    grouped = groups_of(sorted(examples, key=lambda example: -len(example.ids)))
    ours, steps = packed_side(make_model(given, longest), examples, longest)
    padded = {
        "maximum length": (random_batches, longest),
        "longest of 8": (random_batches, None),
        "length-grouped 8": (grouped, None),
    }
    sides = {"padding-free": ours} | {
        name: padded_side(make_model(given, longest), batches, width)
        for name, (batches, width) in padded.items()
    }
    interleave(1, sides)  # warm-up
    times = interleave(given.rounds, sides)
    tokens = int(lengths.sum())
    print(
        f"\n{distribution.name} / {given.divisor}: {len(lengths)} conversations, {tokens} tokens, "
        f"longest {longest}; optimiser steps: ours {steps}, padded {len(random_batches)}"
    )
    print(f"{'':18}{'tokens/CPU s':>13}{'tokens/s':>10}{'CPU':>8}{'wall':>8}{'ceiling':>9}")
    base = times["padding-free"]
    print(f"{'padding-free':18}{tokens / base.cpu:13.0f}{tokens / base.wall:10.0f}")
    for name, (batches, width) in padded.items():
        time = times[name]
        print(
            f"{name:18}{tokens / time.cpu:13.0f}{tokens / time.wall:10.0f}"
            f"{time.cpu / base.cpu:7.2f}x{time.wall / base.wall:7.2f}x"
            f"{1 / efficiency(batches, width):8.2f}x"
        )
    return verdict(
        "CPU time, padded to the maximum / padding-free",
        times["maximum length"].cpu / base.cpu,
        at_least=3.0,
    )


def main() -> None:
    """Compares on both distributions."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--conversations", type=int, default=48, help="default: %(default)s")
    options.add_argument("--hidden", type=int, default=256, help="default: %(default)s")
    options.add_argument("--layers", type=int, default=4, help="default: %(default)s")
    options.add_argument("--vocabulary", type=int, default=2048, help="default: %(default)s")
    options.add_argument("--divisor", type=int, default=8, help="of lengths (default: %(default)s)")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    announce()
    model = make_model(given, 8)
    print(
        f"Llama, hidden {given.hidden}, {given.layers} layers, vocabulary {given.vocabulary}, "
        f"{model.num_parameters() / 1e6:.1f} M parameters, float32, sdpa, {given.threads} thread(s)"
    )
    print("columns CPU, wall: time of that side / time of padding-free; ceiling: cells / tokens")
    leave(*[compare(distribution, given) for distribution in DISTRIBUTIONS])


if __name__ == "__main__":
    main()
