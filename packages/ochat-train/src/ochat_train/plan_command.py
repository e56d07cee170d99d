"""`ochat-train plan`: what a run would do, without a GPU, and without a model if none is given."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .config import Average, LossMode, Overlong, Packing, TrainConfig
from .errors import ConfigError

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Packs DATA exactly as `ochat-train run` would and prints what would happen: steps, how full the
batches are, how even the ranks' work is, what share of the tokens is supervised. Figures of an
epoch leave out its last, shorter step, which is trained too. With --model, also the learning rate
of --lr auto and the memory that a rank takes, by ZeRO stage. With --machines and no DATA, which
model sizes fit which cards, and how: the given model and Llamas of 1B to 70B.

  ochat-train plan --data tokens --batch-tokens 16384 --world-size 8 --epochs 5
  ochat-train plan --data tokens --batch-tokens 16384 --world-size 8 --model base
  ochat-train plan --machines --batch-tokens 8192 --gradient-checkpointing
"""
# Four conversations of 2,048 tokens.
_MACHINE_TOKENS = 8192


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    import argparse

    parser = commands.add_parser(
        "plan",
        help="show steps, fill, balance and memory of a run before it starts",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--data", type=Path, metavar="DIR", help="dataset, as for run")
    asked.add_argument(
        "--machines", action="store_true", help="show which model sizes fit which machines"
    )
    parser.add_argument(
        "--lora-rank", type=int, default=16, metavar="N", help="of adapters, for --machines"
    )
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="model folder; its config.json is enough"
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        metavar="N",
        help="most tokens of one rank in one batch (default: four times the longest example)",
    )
    parser.add_argument(
        "--accumulation", type=int, default=1, metavar="N", help="batches of a rank in one step"
    )
    parser.add_argument(
        "--world-size", type=int, default=1, metavar="R", help="ranks (default %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=1, help="epochs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="data order (default %(default)s)")
    for flag, choices in {
        "--packing": get_args(Packing),
        "--overlong": get_args(Overlong),
        "--loss-mode": get_args(LossMode),
        "--average": get_args(Average),
    }.items():
        parser.add_argument(flag, choices=choices, default=choices[0], help="as for run")
    parser.add_argument("--expert", default="", metavar="CONDITION", help="as for run")
    parser.add_argument("--model-type", default="", metavar="NAME", help="as for run")
    parser.add_argument(
        "--gradient-checkpointing", action="store_true", help="as for run; changes the memory"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Prints the plan on standard output."""
    if options.machines:
        _print_machines(options)
        return
    named = (
        *("batch_tokens", "accumulation", "epochs", "seed", "packing", "overlong", "loss_mode"),
        *("average", "expert", "model_type", "gradient_checkpointing"),
    )
    config = TrainConfig(
        model=options.model or Path(),
        data=options.data,
        output=Path(),
        **{name: getattr(options, name) for name in named},
    )
    figures = plan_figures(config, world_size=options.world_size, with_model=bool(options.model))
    print(json.dumps(figures) if options.json else _table(figures))  # noqa: T201 - the output


def _print_machines(options: argparse.Namespace) -> None:
    from .machines import machine_table, table_lines
    from .model import read_config

    for flag in ("batch_tokens", "lora_rank"):
        value = getattr(options, flag)
        if value is not None and value < 1:
            name = flag.replace("_", "-")
            raise ConfigError(f"--{name} is {value}; give a whole number of at least 1")
    table = machine_table(
        None if options.model is None else read_config(options.model),
        batch_tokens=options.batch_tokens or _MACHINE_TOKENS,
        gradient_checkpointing=options.gradient_checkpointing,
        lora_rank=options.lora_rank,
    )
    print(json.dumps(table) if options.json else "\n".join(table_lines(table)))  # noqa: T201


def plan_figures(
    config: TrainConfig, *, world_size: int, with_model: bool = False
) -> dict[str, Any]:
    """The figures of a plan; `epochs` holds a list with the packing figures of each.

    Raises:
        TrainError: an option is impossible, an example does not fit, or there is nothing to learn.
        ochat_data.DataError: the dataset is missing or damaged.
    """
    from ochat_data import pack_statistics

    from .capacity import choose_capacity
    from .run_plan import PlanSettings, RunPlan
    from .training_data import choose_examples, open_data

    config.validate()
    if world_size < 1:
        raise ConfigError(f"--world-size is {world_size}; give a whole number of at least 1")
    data = open_data(config.data, config.model_type)
    limited = config.overlong != "error" and config.batch_tokens is not None
    longest = min(data.longest, config.batch_tokens or 0) if limited else data.longest
    capacity = choose_capacity(config.batch_tokens, longest)
    train, _ = choose_examples(data, config, longest)
    plan = RunPlan(
        train,
        PlanSettings(
            capacity=capacity,
            world_size=world_size,
            accumulation=config.accumulation,
            seed=config.seed,
            packing=config.packing,
            average=config.average,
            groups=data.groups,
        ),
        epochs=config.epochs,
    )
    tokens = sum(int(examples.lengths.sum()) for examples in train)
    supervised = sum(examples.supervised_tokens for examples in train)
    first_epochs = plan.epochs[: len(train)]
    a_step = supervised / sum(epoch.plan.steps for epoch in first_epochs)
    figures: dict[str, Any] = {
        "examples": sum(map(len, train)),
        "tokens": tokens,
        "longest": longest,
        "supervised_share": supervised / tokens,
        "supervised_tokens_a_step": a_step,
        "loss_weight": sum(float(examples.loss_weights.sum()) for examples in train),
        "truncation": data.truncation,
        "left_out": [asdict(examples.counts) for examples in train],
        "batch_tokens": capacity,
        "accumulation": config.accumulation,
        "world_size": world_size,
        "steps": plan.total_steps,
        "epochs": [
            asdict(pack_statistics(epoch.plan, epoch.source.lengths)) for epoch in plan.epochs
        ],
    }
    return figures | (_with_model(config, figures) if with_model else {})


def _with_model(config: TrainConfig, figures: dict[str, Any]) -> dict[str, Any]:
    """Learning rate and memory, for which the model's config must be known."""
    from .memory import checkpoint_bytes, count_parameters, estimate_memory
    from .model import read_config
    from .schedule import automatic_lr

    model_config = read_config(config.model)
    sizes = count_parameters(model_config)
    memory: dict[str, Any] = {}
    for stage in (None, 0, 1, 2, 3):
        estimate = estimate_memory(
            sizes,
            batch_tokens=figures["batch_tokens"],
            world_size=figures["world_size"],
            zero_stage=stage,
            gradient_checkpointing=config.gradient_checkpointing,
        )
        name = "one process" if stage is None else f"ZeRO {stage}"
        memory[name] = asdict(estimate) | {"total": estimate.total}
    return {
        "parameters": sizes.total,
        "automatic_lr": automatic_lr(figures["supervised_tokens_a_step"], model_config.model_type),
        "memory": memory,
        "checkpoint_bytes": checkpoint_bytes(sizes.total),
    }


def _table(figures: dict[str, Any]) -> str:
    """The figures for a person: one line each, then one row per epoch."""
    from .examples import FitCounts

    several = figures["accumulation"]
    lines = [
        f"examples          {figures['examples']:,}",
        f"tokens per epoch  {figures['tokens']:,}, {figures['supervised_share']:.1%} supervised",
        f"longest example   {figures['longest']:,} tokens",
        f"truncation        {figures['truncation']}",
        *(
            f"left out          {FitCounts(**each)}"
            for each in figures["left_out"]
            if any(each.values())
        ),
        f"batch             {figures['batch_tokens']:,} tokens x {figures['world_size']} rank(s)"
        + (f" x {several} a step" if several > 1 else ""),
        f"steps             {figures['steps']:,}",
        "",
        "epoch  steps    fill  last step  token imbalance  cost imbalance  homogeneity  dropped",
    ]
    for number, epoch in enumerate(figures["epochs"], start=1):
        lines.append(
            f"{number:5}  {epoch['steps']:5}  {_percent(epoch['fill'])}  "
            f"{_percent(epoch['last_step_fill']):>9}  {_ratio(epoch['token_imbalance']):>15}  "
            f"{_ratio(epoch['cost_imbalance']):>14}  {_ratio(epoch['homogeneity']):>11}  "
            f"{epoch['dropped']:7}"
        )
    return "\n".join(lines + (_memory_lines(figures) if "memory" in figures else []))


def _memory_lines(figures: dict[str, Any]) -> list[str]:
    lines = [
        "",
        f"parameters        {figures['parameters']:,}",
        f"--lr auto         {figures['automatic_lr']:.3g}",
        f"one checkpoint    {_gibibytes(figures['checkpoint_bytes'])} with the exported model",
        "",
        "estimated memory of a rank in bf16   states  activations    loss   total",
    ]
    for name, parts in figures["memory"].items():
        cells = [_gibibytes(parts[key]) for key in ("states", "activations", "loss", "total")]
        lines.append(f"{name:33}{cells[0]:>10}{cells[1]:>13}{cells[2]:>8}{cells[3]:>8}")
    return lines


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.2f}G"


def _percent(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:6.2%}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
