"""`ochat-eval report`: finished runs side by side.

The table is made in `ochat_eval.report`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from ochat_eval.errors import RunFolderError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "report",
        help="show finished runs side by side",
        description="Show accuracy with its 95 % Wilson interval of one or more run folders, and "
        "whether the interval of the first overlaps each other's. Intervals that do not overlap "
        "show a difference; intervals that do overlap do not show that there is none.",
        epilog="example: ochat-eval report runs/gpt4 runs/gpt3, or "
        "ochat-eval report runs/gpt4 --html gpt4.html",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a run folder")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--markdown", action="store_true", help="the table as Markdown, to paste somewhere"
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write one page to look through the answers of the (only) run",
    )
    parser.add_argument(
        "--reveal", action="store_true", help="show gated items in that page; do not publish it"
    )
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the table, or the JSON object."""
    from ochat_eval.report import comparisons, markdown, read_run, sentence, table, to_json

    if arguments.html and len(arguments.folders) != 1:
        raise RunFolderError("--html takes one run folder: write one page for each")
    runs = [read_run(folder) for folder in arguments.folders]
    if arguments.json:
        sys.stdout.buffer.write(orjson.dumps(to_json(runs), option=orjson.OPT_INDENT_2) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    shown = markdown(runs) if arguments.markdown else table(runs)
    lines = [shown, *map(sentence, comparisons(runs))]
    print("\n".join(lines))
    if arguments.html:
        from ochat_eval.viewer import write_page

        redacted = write_page(arguments.folders[0], arguments.html, reveal=arguments.reveal)
        print(f"{arguments.html}" + (f" ({redacted} gated items redacted)" if redacted else ""))
    return 0
