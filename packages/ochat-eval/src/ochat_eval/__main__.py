"""The command `ochat-eval`: chooses the sub-command and turns expected errors into one sentence.

What each sub-command does is in `ochat_eval.commands`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ochat_eval.commands import (
    bridge,
    compare,
    gate,
    grade,
    headline,
    judge,
    leaderboard,
    report,
    rescore,
    run,
    tasks,
    winrate,
)
from ochat_eval.errors import EvalError

_DESCRIPTION = """\
Benchmarks for chat models: ask whole suites of a server or of a model folder, grade the answers by
rules that never credit a guess, and report accuracy with confidence intervals.
"""
_EPILOG = """\
example:
  ochat-eval run --base-url http://localhost:18888/v1 --model openchat_v3.2 --suite sample \\
      --output runs/first
  ochat-eval report runs/first

`ochat-eval COMMAND --help` tells more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments without the program's name; None takes the process's.

    Returns:
        The exit code: 0 done, 1 a problem told in one sentence, 3 too many questions unanswered.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.call(arguments)
    except EvalError as error:
        sys.stderr.write(f"ochat-eval: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nochat-eval: interrupted; the same command resumes\n")
        return 130
    except BrokenPipeError:
        # The reader left (`| head`). Without this, Python complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Version(argparse.Action):
    """Looks the version up only when asked: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from ochat_eval.version import installed_version

        print("ochat-eval", installed_version())
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ochat-eval",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        run,
        grade,
        rescore,
        compare,
        gate,
        report,
        judge,
        winrate,
        leaderboard,
        headline,
        tasks,
        bridge,
    ):
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
