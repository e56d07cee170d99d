"""`ochat-data import`: raw dumps to records."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ochat_data.formats import FORMATS

from .options import add_files, add_record_output, add_reject_options

if TYPE_CHECKING:
    from ochat_data.reading import RawItem
    from ochat_data.record import Record

_DESCRIPTION = """\
Reads chat dumps and writes records: one JSON object a line with an id, the messages and, where
known, model and source. The format of each object is told by its fields:

  sharegpt   {"conversations" or "items": [{"from": "human", "value": ...}, ...]}
  openai     {"messages": [{"role": "user", "content": ...}, ...]}
  alpaca     {"instruction", "input"?, "output", "generator"?}   (AlpacaEval's outputs too)
  record     {"items": [{"role", "content", "weight"?}], "condition"?, ...}   (written here)

A file is a JSON list or JSON Lines, plain or gzipped. What cannot be read is set aside with file,
line or index, reason and raw text; records in = records out + rejected.

example:
  ochat-data import sharegpt.json more.jsonl.gz --output records.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "import",
        help="raw chat dumps to records",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "raw files")
    add_record_output(parser)
    parser.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        default="auto",
        help="what the files hold (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help="who answered, for records that do not say",
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.formats import convert
    from ochat_data.record import Record
    from ochat_data.stages import parse_item, run_stage

    model: str = args.model

    def step(item: RawItem) -> Record:
        record = convert(parse_item(item), source=item.source, format_name=args.format)
        if record.model or not model:
            return record
        return Record.create(record.conversation, model=model, source=record.source)

    run_stage(
        "import",
        args.files,
        args.output,
        step,
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
