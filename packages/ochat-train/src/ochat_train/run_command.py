"""`ochat-train run`: the command line of a training run."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path
from typing import get_args

from .config import Average, LossMode, Overlong, Packing, RopeScaling, TrainConfig
from .errors import TrainError

_DESCRIPTION = """\
Trains MODEL on DATA and writes the result to OUTPUT/model, an ordinary Hugging Face folder with
openchat.json that ochat-serve serves. OUTPUT also gets metrics.jsonl, run.json and checkpoints/.
The dataset must have been tokenized with the model folder's own tokenizer.

  ochat-train run --model base --data tokens --output run --epochs 5 --lr 2e-5

DATA may also be the prefix of Parquet files of OpenChat's own trainers: PREFIX.train.parquet and
PREFIX.eval.parquet, or PREFIX.0.parquet and so on, one an epoch.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "run",
        help="train a model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    _add_folders(parser)
    _add_loss(parser)
    _add_optimiser(parser)
    _add_adapter(parser)
    _add_machine(parser)
    _add_bookkeeping(parser)
    parser.set_defaults(execute=execute)


def _add_folders(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="config.json, tokenizer, weights"
    )
    group.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="token dataset (ochat-data), or a prefix of OpenChat's Parquet files",
    )
    group.add_argument(
        "--model-type", metavar="NAME", help="template of Parquet files that do not name theirs"
    )
    group.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new or empty folder of the run"
    )
    group.add_argument(
        "--from-scratch",
        action="store_true",
        help="initialise the weights from config.json instead of reading them",
    )
    group.add_argument(
        "--resume", action="store_true", help="continue exactly from the last checkpoint in OUTPUT"
    )


def _add_loss(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("examples and loss")
    group.add_argument(
        "--loss-mode",
        choices=get_args(LossMode),
        help="what a token counts: dataset, as it says (default); token, 1 (V2); sequence, 1 / "
        "supervised tokens of its example (V3); class, n / n_c (V2-W); balanced, both (V3 with "
        "--loss_balancing); crlft, 1 under --expert and 0.1 else",
    )
    group.add_argument(
        "--expert", metavar="CONDITION", help="the expert's condition, for --loss-mode crlft"
    )
    group.add_argument(
        "--average",
        choices=get_args(Average),
        help="what a step's loss is divided by: its loss weights (default), or its sequences "
        "(--no_weighted_average of V3)",
    )
    group.add_argument(
        "--overlong",
        choices=get_args(Overlong),
        help="examples longer than the model or a batch: refuse (default), leave out, or cut",
    )
    group.add_argument(
        "--packing",
        choices=get_args(Packing),
        help="steps like random draws (default); or throughput: fuller, evener over ranks, sorted",
    )


def _add_optimiser(parser: argparse.ArgumentParser) -> None:
    default = {field.name: field.default for field in fields(TrainConfig)}
    group = parser.add_argument_group("training")

    def number(flag: str, kind: type, text: str) -> None:
        value = default[flag.removeprefix("--").replace("-", "_")]
        shown = "" if value is None else f" (default {value})"
        group.add_argument(flag, type=kind, metavar="N", help=text + shown)

    number("--epochs", int, "passes over the training data")
    number(
        "--batch-tokens",
        int,
        "most tokens of one rank in one batch (default: four times the longest example)",
    )
    number("--accumulation", int, "batches of every rank in one step; exact, as one large batch")
    group.add_argument(
        "--lr",
        type=_learning_rate,
        metavar="N|auto",
        help="peak learning rate; auto: 3e-4 x root of (supervised tokens a step / 4 million), a "
        f"sixth of it for Mistral and Gemma (default {default['lr']})",
    )
    number("--lr-min-ratio", float, "last learning rate as a share of the peak")
    number("--warmup-steps", int, "steps of linear warm-up (default: 5 %% of all steps)")
    number("--beta1", float, "AdamW's decay of the mean")
    number("--beta2", float, "AdamW's decay of the variance")
    number("--eps", float, "AdamW's epsilon")
    number("--weight-decay", float, "decay of matrices and embeddings")
    number("--max-grad-norm", float, "gradients are clipped to this norm")
    number("--seed", int, "seed of initialisation, data order and dropout")


def _learning_rate(text: str) -> float | None:
    try:
        return None if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"give a number or auto, not {text!r}") from None


def _add_adapter(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("adapters (extras lora and qlora)")
    group.add_argument(
        "--lora",
        action="store_true",
        help="train an adapter; OUTPUT/adapter is PEFT's folder, OUTPUT/model base and adapter",
    )
    group.add_argument(
        "--qlora", action="store_true", help="the same over a base held in 4 bits (bitsandbytes)"
    )
    group.add_argument(
        "--lora-rank", type=int, metavar="N", help="inner width of the matrices (default 16)"
    )
    group.add_argument(
        "--lora-alpha", type=float, metavar="N", help="scale, over the rank (default: twice it)"
    )
    group.add_argument(
        "--lora-dropout", type=float, metavar="N", help="of the adapter's inputs (default 0)"
    )
    group.add_argument(
        "--lora-targets",
        metavar="NAMES",
        help="layers, such as q_proj,v_proj (default all-linear, but the output layer)",
    )
    group.add_argument(
        "--lora-embeddings",
        action="store_true",
        help="train both tables of embeddings whole: for control tokens that were just added",
    )
    group.add_argument(
        "--no-merge", dest="merge", action="store_false", help="write the adapter only"
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--precision",
        choices=("bf16", "fp32"),
        help="of the computation; master weights stay float32 (default: bf16 on a GPU, else fp32)",
    )
    group.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="compute activations again instead of keeping them: less memory, a third more time",
    )
    group.add_argument(
        "--offload-activations",
        action="store_true",
        help="keep what is left of them in the host's memory, with --gradient-checkpointing",
    )
    group.add_argument(
        "--rope-scaling",
        choices=get_args(RopeScaling),
        help="stretch rotary positions to a longer context, by --rope-factor",
    )
    group.add_argument(
        "--rope-factor", type=float, metavar="N", help="how many times longer the context gets"
    )
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's)")
    group.add_argument(
        "--engine",
        choices=("auto", "single", "deepspeed"),
        help="auto takes DeepSpeed on several ranks or with its options (default auto)",
    )
    group.add_argument(
        "--zero-stage", type=int, metavar="N", help="DeepSpeed's ZeRO stage: 0 to 3 (default 2)"
    )
    group.add_argument(
        "--sequence-parallel",
        type=int,
        metavar="N",
        help="N ranks hold every batch together, each part of its tokens (DeepSpeed-Ulysses), for "
        "sequences that one GPU cannot hold; N must divide the heads of attention (default 1)",
    )
    group.add_argument(
        "--rank-timeout",
        type=float,
        metavar="SECONDS",
        help="name a rank that shows no sign of life for so long, and end the others (default 60); "
        "slow saves and long steps do not count",
    )
    group.add_argument(
        "--deepspeed",
        dest="deepspeed_config",
        type=Path,
        metavar="FILE",
        help="DeepSpeed configuration (JSON); batch sizes in it are replaced",
    )


def _add_bookkeeping(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("checkpoints and figures")
    group.add_argument(
        "--checkpoint-steps",
        type=int,
        metavar="N",
        help="write a checkpoint every N steps too, not only after every epoch",
    )
    group.add_argument(
        "--keep-last",
        type=int,
        metavar="N",
        help="keep the N newest checkpoints, and the one with the lowest held-out loss (default: "
        "all)",
    )
    group.add_argument(
        "--time-limit-minutes",
        type=float,
        metavar="N",
        help="then write a checkpoint and stop with exit code 75, as at SIGTERM; --resume goes on",
    )
    group.add_argument(
        "--log-every",
        type=int,
        metavar="N",
        help="on a GPU, read the loss every N steps, since reading waits for it (default 10)",
    )
    group.add_argument(
        "--tensorboard", action="store_true", help="write OUTPUT/tensorboard too (an extra)"
    )
    group.add_argument("--wandb", metavar="PROJECT", help="log to Weights & Biases too (an extra)")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")


def execute(options: argparse.Namespace) -> None:
    """Trains as the command line says."""
    names = {field.name for field in fields(TrainConfig)}
    train_and_print(
        TrainConfig(**{name: value for name, value in vars(options).items() if name in names})
    )


def train_and_print(config: TrainConfig) -> None:
    """Trains, and prints the model folder on standard output."""
    config.validate()
    import torch
    from transformers.utils import logging

    from .run import train

    # Its warnings are about generation and loading; what matters here is checked and raised.
    logging.set_verbosity_error()
    try:
        result = train(config)
    except torch.OutOfMemoryError as error:
        raise TrainError(
            "the GPU has too little memory for this run; lower --batch-tokens (and raise "
            "--accumulation), pass --gradient-checkpointing, or use several GPUs with --zero-stage "
            "2; ochat-train plan --model estimates it beforehand"
        ) from error
    if os.environ.get("RANK", "0") == "0":
        print(result.model)  # noqa: T201 - the command's output
