"""`ochat-train run`: the command line of a training run."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from .config import TrainConfig
from .errors import TrainError

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Trains MODEL on DATA and writes the result to OUTPUT/model, an ordinary Hugging Face folder with
openchat.json that ochat-serve serves. OUTPUT also gets metrics.jsonl, run.json and checkpoints/.
The dataset must have been tokenized with the model folder's own tokenizer.

  ochat-train run --model base --data tokens --output run --epochs 5 --lr 2e-5
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    import argparse

    parser = commands.add_parser(
        "run",
        help="train a model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    _add_folders(parser)
    _add_optimiser(parser)
    _add_machine(parser)
    parser.set_defaults(execute=execute)


def _add_folders(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="config.json, tokenizer, weights"
    )
    group.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="token dataset (ochat-data)"
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
        "most tokens of one rank in one step (default: four times the longest example)",
    )
    number("--lr", float, "peak learning rate")
    number("--lr-min-ratio", float, "last learning rate as a share of the peak")
    number("--warmup-steps", int, "steps of linear warm-up (default: 5 %% of all steps)")
    number("--beta1", float, "AdamW's decay of the mean")
    number("--beta2", float, "AdamW's decay of the variance")
    number("--eps", float, "AdamW's epsilon")
    number("--weight-decay", float, "decay of matrices and embeddings")
    number("--max-grad-norm", float, "gradients are clipped to this norm")
    number("--seed", int, "seed of initialisation, data order and dropout")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--precision",
        choices=("bf16", "fp32"),
        help="of the computation; master weights stay float32 (default: bf16 on a GPU, else fp32)",
    )
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's)")
    group.add_argument(
        "--checkpoint-steps",
        type=int,
        metavar="N",
        help="write a checkpoint every N steps too, not only after every epoch",
    )
    group.add_argument(
        "--log-every",
        type=int,
        metavar="N",
        help="on a GPU, read the loss every N steps, since reading waits for it (default 10)",
    )
    group.add_argument(
        "--engine",
        choices=("auto", "single", "deepspeed"),
        help="auto takes DeepSpeed on several ranks or with its options (default auto)",
    )
    group.add_argument(
        "--zero-stage", type=int, metavar="N", help="DeepSpeed's ZeRO stage: 0, 1 or 2 (default 2)"
    )
    group.add_argument(
        "--deepspeed",
        dest="deepspeed_config",
        type=Path,
        metavar="FILE",
        help="DeepSpeed configuration (JSON); batch sizes in it are replaced",
    )
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")


def execute(options: argparse.Namespace) -> None:
    """Trains as the command line says; prints the model folder on standard output."""
    names = {field.name for field in fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in vars(options).items() if name in names})
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
            "the GPU has too little memory for this run; lower --batch-tokens, or use several GPUs "
            "with --zero-stage 2"
        ) from error
    if os.environ.get("RANK", "0") == "0":
        print(result.model)  # noqa: T201 - the command's output
