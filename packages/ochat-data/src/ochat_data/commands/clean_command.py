"""`ochat-data clean`: repairs records."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_files, add_record_output, add_reject_options

if TYPE_CHECKING:
    from ochat_data.reading import RawItem
    from ochat_data.record import Record
    from ochat_data.stages import Dropped

_DESCRIPTION = """\
Repairs records so that user and assistant alternate, the user first and an answer last:

  * line ends become \\n; nothing else within a message is touched, so code keeps its indentation
  * messages in a row by the same role become one, with a blank line between them
  * answers before the first question, and a last question without answer, are removed
  * at a message that is empty or unprintable the conversation ends

A record of which nothing is left is dropped; every repair and every drop is counted.

example:
  ochat-data clean records.jsonl --output clean.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "clean",
        help="repair records: line ends, empty answers, order of roles",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    add_record_output(parser)
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from collections import Counter
    from dataclasses import replace

    from ochat_data.cleaning import clean_conversation
    from ochat_data.record import Record
    from ochat_data.stages import Dropped, parse_item, report, run_stage

    repairs: Counter[str] = Counter()

    def step(item: RawItem) -> Record | Dropped:
        record = Record.from_json(parse_item(item))
        result = clean_conversation(record.conversation)
        if result.conversation is None:
            return Dropped(reason=result.reason)
        repairs.update(result.repairs)
        return replace(record, conversation=result.conversation)

    run_stage(
        "clean",
        args.files,
        args.output,
        step,
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
    if repairs:
        listed = ", ".join(f"{reason} {number}" for reason, number in repairs.most_common())
        report(f"clean: repairs: {listed}")
