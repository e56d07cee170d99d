"""`ochat-eval report`: finished runs side by side.

The table is made in `ochat_eval.report`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "report",
        help="show finished runs side by side",
        description="Show accuracy with its 95 % Wilson interval of one or more run folders, and "
        "whether the interval of the first overlaps each other's. Intervals that do not overlap "
        "show a difference; intervals that do overlap do not show that there is none.",
        epilog="example: ochat-eval report runs/gpt4 runs/gpt3",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a run folder")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the table, or the JSON object."""
    from ochat_eval.report import comparisons, read_run, sentence, table, to_json

    runs = [read_run(folder) for folder in arguments.folders]
    if arguments.json:
        sys.stdout.buffer.write(orjson.dumps(to_json(runs), option=orjson.OPT_INDENT_2) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    lines = [table(runs), *map(sentence, comparisons(runs))]
    print("\n".join(lines))
    return 0
