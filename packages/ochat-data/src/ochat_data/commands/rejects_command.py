"""`ochat-data rejects`: shows what was set aside, and tries it again."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .options import add_record_output, whole

if TYPE_CHECKING:
    from ochat_data.record import Record

_DESCRIPTION = """\
Shows the records that a command set aside: how many for which reason, and the first of each.

With --retry they are imported again, after the file was mended by hand or with other options: what
can be read now is written to --output, the rest stays in the file.

examples:
  ochat-data rejects records.jsonl.rejects.jsonl
  ochat-data rejects records.jsonl.rejects.jsonl --retry --columns question=q --columns answer=a \\
      --output rescued.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "rejects",
        help="show what was set aside, or try it again",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="REJECTS.jsonl", help="the file that a command wrote")
    parser.add_argument(
        "--show", type=whole, default=3, metavar="N", help="examples a reason (default: 3)"
    )
    parser.add_argument("--retry", action="store_true", help="import them again")
    add_record_output(parser, required=False)
    parser.add_argument("--format", default="auto", help="as for 'ochat-data import'")
    parser.add_argument(
        "--columns", action="append", default=[], metavar="FIELD=COLUMN", help="the same"
    )
    parser.add_argument("--model", default="", metavar="NAME", help="the same")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.column_map import ColumnMap
    from ochat_data.errors import InputError, OutputError
    from ochat_data.formats import FORMATS
    from ochat_data.reading import RawItem
    from ochat_data.record_steps import import_item
    from ochat_data.reject_file import read_rejects, retry_rejects, summary_lines
    from ochat_data.stages import report

    if not args.retry:
        for line in summary_lines(read_rejects(args.file), show=args.show):
            sys.stdout.write(f"{line}\n")
        return
    if not args.output:
        raise OutputError("give --output FILE for what can be read now")
    if args.format not in ("auto", *FORMATS):
        raise InputError(f"no format {args.format!r}; choose one of {', '.join(FORMATS)}")
    columns = ColumnMap.parse(args.columns).columns if args.columns else None

    def step(item: RawItem) -> list[Record]:
        return import_item(item, format_name=args.format, columns=columns, model=args.model)

    tried, rescued = retry_rejects(args.file, args.output, step)
    report(f"rejects: {tried} tried = {rescued} rescued + {tried - rescued} still rejected")
