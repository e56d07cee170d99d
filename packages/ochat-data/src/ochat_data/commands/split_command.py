"""`ochat-data split`: conversations longer than the context into several."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_files, add_record_output, add_reject_options, whole

if TYPE_CHECKING:
    from ochat_data.reading import RawItem
    from ochat_data.record import Record

_DESCRIPTION = """\
Splits conversations that are longer than the context between two exchanges, into as few parts as
the order allows. Every part begins with a question and has the system text and the condition of
the whole; ids tell the parts apart. An exchange that is too long by itself stays whole, for the
truncation of 'ochat-data tokenize' to deal with.

example:
  ochat-data split clean.jsonl --output parts.jsonl --template openchat_v3.2 \\
      --tokenizer tokenizer.model
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "split",
        help="conversations longer than the context into several",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    add_record_output(parser)
    parser.add_argument("--template", required=True, metavar="T", help="chat format")
    parser.add_argument(
        "--tokenizer", required=True, metavar="PATH", help="a model, tokenizer.json or folder"
    )
    parser.add_argument(
        "--max-length",
        type=whole,
        metavar="N",
        help="most tokens of a part (default: the template's context length)",
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.errors import RecordError
    from ochat_data.record import Record
    from ochat_data.splitting import split_record
    from ochat_data.stages import parse_item, run_stage
    from ochat_templates import ConversationError, load_codec

    codec = load_codec(args.tokenizer, args.template)
    length = args.max_length or codec.template.context_length

    def step(item: RawItem) -> list[Record]:
        try:
            return split_record(Record.from_json(parse_item(item)), codec, length)
        except ConversationError as error:
            raise RecordError(str(error)) from error

    run_stage(
        "split",
        args.files,
        args.output,
        step,
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
