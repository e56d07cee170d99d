"""The command `ochat-train`: reads the command line, runs a sub-command, turns errors into lines.

What a sub-command does is in the module of its name, such as `run_command`.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from ochat_data import DataError as DatasetError
from ochat_templates import TemplatesError

from . import add_tokens_command, export_command, plan_command, report_command, run_command
from .errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Fine-tunes any Hugging Face causal language model on a token dataset (ochat-data tokenize):
conversations are packed without padding, kept apart by variable-length attention, and weighted
exactly.

  ochat-train plan --data tokens --batch-tokens 16384
  ochat-train run --model base --data tokens --output run
  ochat-train run --model base --data tokens --output run --resume

On several GPUs or machines the same command is started by a launcher:

  torchrun --nproc-per-node 8 -m ochat_train run --model base --data tokens --output run
  deepspeed --module ochat_train run --model base --data tokens --output run --deepspeed ds.json
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="ochat-train",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--local_rank",
        "--local-rank",
        type=int,
        metavar="N",
        help="number of this process on its machine; put there by launchers, not by people",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run_command.add_parser(commands)
    plan_command.add_parser(commands)
    export_command.add_parser(commands)
    report_command.add_parser(commands)
    add_tokens_command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (2 for a wrong command line)."""
    options = build_parser().parse_args(argv)
    # Read by OpenMP when torch is loaded. Its threads otherwise spin while they wait for one
    # another: on a machine with anything else to do, training on two cores was six times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(options.local_rank))
    try:
        options.execute(options)
    except (TrainError, DatasetError, TemplatesError) as error:
        print(f"{_speaker()}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{_speaker()}: interrupted; add --resume to continue a run", file=sys.stderr)
        return 130
    return 0


def _speaker() -> str:
    """The command's name, with the rank where there are several."""
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    return f"ochat-train (rank {os.environ.get('RANK', '?')})" if several else "ochat-train"


if __name__ == "__main__":
    sys.exit(main())
