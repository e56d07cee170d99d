"""The command line that OpenChat published in 2023, on today's trainer.

    deepspeed --module ochat.training_deepspeed.train --model-type T --model_path DIR
        --data_path PREFIX --save_path DIR [...] --deepspeed --deepspeed_config FILE

Old flags are mapped; one whose meaning is gone is answered with a line saying what replaced it.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ochat_templates import TemplatesError, get_template

from .__main__ import prepare_process, run_to_exit_code
from .config import TrainConfig
from .errors import TrainError
from .run_command import train_and_print

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
OpenChat's published training command; the newer one is: ochat-train run. The model goes to
SAVE_PATH/model, with checkpoints beside it.
"""
_PUBLISHED_CONFIG = "ochat/training_deepspeed/deepspeed_config.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the published command; exit codes as `ochat-train`."""
    options = _parser().parse_args(argv)
    prepare_process(options.local_rank)
    return run_to_exit_code(lambda: train_and_print(to_config(options)))


def to_config(options: argparse.Namespace) -> TrainConfig:
    """The settings that the old flags mean.

    Raises:
        TrainError: the model type is unknown.
    """
    try:
        template = get_template(options.model_type)
    except TemplatesError as error:
        raise TrainError(f"--model-type: {error}") from error
    if options.save_every is not None:
        _say("--save_every: a checkpoint is written after every epoch, from which export makes one")
    given: dict[str, Any] = {
        name: value
        for name, value in vars(options).items()
        if name in _SAME_NAMES and value is not None
    }
    if options.lr_warmup_steps is not None:
        given["warmup_steps"] = options.lr_warmup_steps
    if options.batch_size_per_gpu is not None:
        given["batch_tokens"] = options.batch_size_per_gpu * template.context_length
    return TrainConfig(
        model=options.model_path,
        data=options.data_path,
        output=options.save_path,
        model_type=template.name,
        # The 2023 layout's weights are balanced; without the flag each sequence counts the same.
        loss_mode="dataset" if options.loss_balancing else "sequence",
        average="sequences" if options.no_weighted_average else "weights",
        engine="deepspeed",
        deepspeed_config=_config_file(options.deepspeed_config),
        **given,
    )


_SAME_NAMES = ("epochs", "lr", "lr_min_ratio", "weight_decay", "beta1", "beta2", "eps", "resume")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ochat.training_deepspeed.train", description=_DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, help="put there by the launcher")
    parser.add_argument("--model-type", "--model_type", required=True, metavar="NAME")
    folders = ("--model_path", "--data_path", "--save_path")
    for flag, text in zip(
        folders, ("base model", "prefix of Parquet files", "output"), strict=True
    ):
        parser.add_argument(flag, type=Path, required=True, metavar="PATH", help=text)
    for flag in ("--epochs", "--batch_size_per_gpu", "--lr_warmup_steps", "--save_every"):
        parser.add_argument(flag, type=int, metavar="N")
    for flag in ("--lr", "--lr_min_ratio", "--weight_decay", "--beta1", "--beta2", "--eps"):
        parser.add_argument(flag, type=float, metavar="N")
    parser.add_argument("--loss_balancing", action="store_true", help="weigh sources by their size")
    parser.add_argument(
        "--no_weighted_average", action="store_true", help="divide by sequences, not by weights"
    )
    parser.add_argument("--resume", action="store_true", default=None, help="new: continue a run")
    parser.add_argument("--deepspeed", action="store_true", help="always so; nothing to do")
    parser.add_argument("--deepspeed_config", type=Path, metavar="FILE")
    return parser


def _config_file(given: Path | None) -> Path | None:
    """The file that was given; the published path means the file that is shipped."""
    if given is None or given.exists() or not given.as_posix().endswith(_PUBLISHED_CONFIG):
        return given
    package = find_spec("ochat.training_deepspeed")
    places = [] if package is None else list(package.submodule_search_locations or ())
    shipped = (Path(place) / "deepspeed_config.json" for place in places)
    return next((file for file in shipped if file.is_file()), given)


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)  # noqa: T201 - a notice to the person at the terminal
