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
from .errors import StoppedError, TrainError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The system's own code for "try again later" (sysexits.h: EX_TEMPFAIL), for schedulers.
EXIT_STOPPED = 75

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


class _Version(argparse.Action):
    """Looks the version up only when asked: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Prints it, and leaves."""
        from importlib.metadata import version

        print(parser.prog, version("ochat-train"))
        parser.exit()


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
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
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
    prepare_process(options.local_rank)
    return run_to_exit_code(lambda: options.execute(options))


def prepare_process(local_rank: int | None) -> None:
    """Sets what torch reads when it is loaded, and the rank that a launcher passed as an option."""
    # Read by OpenMP when torch is loaded. Its threads otherwise spin while they wait for one
    # another: on a machine with anything else to do, training on two cores was six times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(local_rank))


def run_to_exit_code(execute: Callable[[], None]) -> int:
    """Runs a command; turns the errors that it raises on purpose into one line."""
    try:
        execute()
    except StoppedError as stop:
        print(f"{_speaker()}: {stop}", file=sys.stderr)
        return EXIT_STOPPED
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
