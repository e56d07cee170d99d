"""`ochat-eval rescore`: grade the stored responses of a run again, asking nothing.

The work is in `ochat_eval.summary`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ochat_eval.profiles import profile_names


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
    parser.add_argument(
        "--allow-code",
        action="store_true",
        help="run programs of the model on this machine (humaneval); best in a container",
    )
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        choices=profile_names(),
        help="also grade as an older grader did; may be repeated",
    )
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Rescore and print the run's line."""
    from ochat_eval.report import profile_lines, read_run, table
    from ochat_eval.summary import rescore

    profiles = tuple(dict.fromkeys(arguments.profile))
    summary = rescore(arguments.folder, allow_code=arguments.allow_code, profiles=profiles)
    print(table([read_run(arguments.folder), *profile_lines(arguments.folder, summary)]))
    return 0
