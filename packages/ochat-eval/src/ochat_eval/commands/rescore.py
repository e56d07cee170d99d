"""`ochat-eval rescore`: grade the stored responses of a run again, asking nothing.

The work is in `ochat_eval.summary`.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "rescore",
        help="grade the stored responses of a run again",
        description="Write verdicts.jsonl and summary.json of a run folder anew from its "
        "responses.jsonl; the server is not asked. Works for unfinished runs too.",
        epilog="example: ochat-eval rescore runs/gpt4",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Rescore and print the run's line."""
    from ochat_eval.report import read_run, table
    from ochat_eval.summary import rescore

    rescore(arguments.folder)
    print(table([read_run(arguments.folder)]))
    return 0
