"""`ochat-train plan`: what a run would do, without a model or a GPU."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError, DataError

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Packs DATA exactly as `ochat-train run` would and prints what would happen: steps, how full the
batches are, how even the ranks' work is, what share of the tokens is supervised. Figures of an
epoch leave out its last, shorter step, which is trained too.

  ochat-train plan --data tokens --batch-tokens 16384 --world-size 8 --epochs 5
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    import argparse

    parser = commands.add_parser(
        "plan",
        help="show steps, fill and balance of a run before it starts",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="token dataset (ochat-data)"
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        metavar="N",
        help="most tokens of one rank in one step (default: four times the longest example)",
    )
    parser.add_argument(
        "--world-size", type=int, default=1, metavar="R", help="ranks (default %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=1, help="epochs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="data order (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Prints the plan on standard output."""
    figures = plan_figures(
        options.data,
        batch_tokens=options.batch_tokens,
        world_size=options.world_size,
        epochs=options.epochs,
        seed=options.seed,
    )
    print(json.dumps(figures) if options.json else _table(figures))  # noqa: T201 - the output


def plan_figures(
    data: Path, *, batch_tokens: int | None, world_size: int, epochs: int, seed: int
) -> dict[str, object]:
    """The figures of a plan; `epochs` holds a list with the packing figures of each.

    Raises:
        ConfigError: an option is impossible, or the longest example does not fit.
        DataError: the dataset has no training examples.
        ochat_data.DataError: the dataset is missing or damaged.
    """
    from ochat_data import TokenDataset, pack_statistics, plan_batches

    from .capacity import choose_capacity, longest_example

    for flag, value in {"--world-size": world_size, "--epochs": epochs}.items():
        if value < 1:
            raise ConfigError(f"{flag} is {value}; give a whole number of at least 1")
    if seed < 0:
        raise ConfigError(f"--seed is {seed}; it must not be negative")
    dataset = TokenDataset.open(data)
    split = dataset.split("train")
    if not len(split):
        raise DataError(f"the dataset {data} has no training examples; tokenize some conversations")
    longest = longest_example(dataset)
    capacity = choose_capacity(batch_tokens, longest)
    plans = [
        plan_batches(split.lengths, capacity=capacity, world_size=world_size, seed=seed, epoch=e)
        for e in range(epochs)
    ]
    totals = dataset.manifest.splits["train"].totals
    return {
        "examples": len(split),
        "tokens": totals.tokens,
        "longest": longest,
        "supervised_share": totals.supervised_tokens / totals.tokens,
        "loss_weight": totals.loss_weight,
        "batch_tokens": capacity,
        "world_size": world_size,
        "steps": sum(plan.steps for plan in plans),
        "epochs": [asdict(pack_statistics(plan, split.lengths)) for plan in plans],
    }


def _table(figures: dict[str, object]) -> str:
    """The figures for a person: one line each, then one row per epoch."""
    lines = [
        f"examples          {figures['examples']:,}",
        f"tokens per epoch  {figures['tokens']:,}, {figures['supervised_share']:.1%} supervised",
        f"longest example   {figures['longest']:,} tokens",
        f"batch             {figures['batch_tokens']:,} tokens x {figures['world_size']} rank(s)",
        f"steps             {figures['steps']:,}",
        "",
        "epoch  steps    fill  last step  token imbalance  cost imbalance  homogeneity  dropped",
    ]
    epochs = figures["epochs"]
    for number, epoch in enumerate(epochs if isinstance(epochs, list) else [], start=1):
        lines.append(
            f"{number:5}  {epoch['steps']:5}  {_percent(epoch['fill'])}  "
            f"{_percent(epoch['last_step_fill']):>9}  {_ratio(epoch['token_imbalance']):>15}  "
            f"{_ratio(epoch['cost_imbalance']):>14}  {_ratio(epoch['homogeneity']):>11}  "
            f"{epoch['dropped']:7}"
        )
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:6.2%}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
