"""`ochat-data clean`: repairs records."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_files, add_record_output, add_reject_options

_DESCRIPTION = """\
Repairs records so that user and assistant alternate, the user first and an answer last:

  * answers that were saved as a page's HTML become Markdown: code keeps its language and every
    space, tables, nested lists and maths keep their notation, the page's own buttons vanish;
    text that merely speaks of HTML is left alone (--html)
  * line ends become \\n; nothing else within a message is touched
  * messages in a row by the same role become one, with a blank line between them
  * answers before the first question, and a last question without answer, are removed
  * at a message that is empty or unprintable the conversation ends

On request, refusals are not to be learnt or leave the conversation out, and so do blocked words
and too few characters. A record of which nothing is left is dropped; every repair and every drop
is counted.

example:
  ochat-data clean records.jsonl --output clean.jsonl --refusals unlearn
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "clean",
        help="repair records: HTML, line ends, empty answers, order of roles, refusals",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    add_record_output(parser)
    parser.add_argument(
        "--html",
        choices=("auto", "answers", "all", "never"),
        default="auto",
        help="which messages are a page's HTML: those that look like it, all answers or all "
        "messages with a tag, or none (default: %(default)s)",
    )
    parser.add_argument(
        "--refusals",
        choices=("keep", "unlearn", "drop"),
        default="keep",
        help="answers that refuse: kept, given weight 0, or their conversation dropped "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--blocked-words",
        metavar="FILE",
        help="words and phrases, one a line; a conversation with an answer that holds one is "
        "dropped",
    )
    parser.add_argument(
        "--min-characters",
        type=int,
        default=0,
        metavar="N",
        help="drop conversations of fewer characters (default: %(default)s)",
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from collections import Counter

    from ochat_data.cleaning import CleanOptions
    from ochat_data.record_steps import clean_step
    from ochat_data.stages import on_records, report, run_stage

    options = CleanOptions(
        html=args.html,
        refusals=args.refusals,
        blocked_words=_lines(args.blocked_words),
        min_characters=args.min_characters,
    )
    repairs: Counter[str] = Counter()
    run_stage(
        "clean",
        args.files,
        args.output,
        on_records(clean_step(options, repairs)),
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
    if repairs:
        listed = ", ".join(f"{reason} {number}" for reason, number in repairs.most_common())
        report(f"clean: repairs: {listed}")


def _lines(path: str | None) -> tuple[str, ...]:
    from ochat_data.errors import InputError

    if path is None:
        return ()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the blocked words in {path}: {error}") from error
    return tuple(word for line in lines if (word := line.strip()))
