"""`ochat-data import`: raw dumps to records."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .options import add_files, add_record_output, add_reject_options

if TYPE_CHECKING:
    from ochat_data.reading import RawItem
    from ochat_data.record import Record

# Also listed by `formats.FORMATS`, which is too heavy for --help.
FORMATS = (
    *("sharegpt", "openai", "alpaca", "openorca", "orca-merge", "openchat", "mt-bench", "text"),
)
_DESCRIPTION = """\
Reads chat dumps and writes records: one JSON object a line with an id, the messages and, where
known, model and source. The format of each object is told by its fields:

  sharegpt    {"conversations" or "items": [{"from": "human", "value": ...}, ...]}
              also saved ShareGPT pages (HTML with a __NEXT_DATA__ script)
  openai      {"messages": [{"role": "user", "content": ...}, ...]}
  alpaca      {"instruction", "input"?, "output", "history"?, "generator"?}   (AlpacaEval's too)
  openorca    {"system_prompt", "question", "response"}
  orca-merge  {"system_prompt", "question", "answer_gpt4", "answer_gpt35"}: one record an answer
  openchat    {"items": [{"role", "content", "weight"?}], "condition"?, ...}   (written here)
  mt-bench    {"turns": ["first question", "second question"]}
  text        {"text": ...}: a plain document, to be mixed in; also .txt and .md files

A file is a JSON list, JSON Lines, Parquet, a web page or text, plain or packed (.gz, .zst); a
folder stands for all of them in it; hf://OWNER/NAME is a dataset of the Hugging Face hub, and
hf:///FOLDER one that was saved with save_to_disk. Anything else goes in by its columns:

  --columns question=prompt --columns answer=completion --columns model=engine
  --columns messages=dialogue --columns role=speaker --columns content=utterance

What cannot be read is set aside with file, line, offset, reason and raw text;
records in = records out + rejected.

example:
  ochat-data import sharegpt.json more.jsonl.gz --dry-run
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
    add_files(parser, "raw files, folders or hf:// datasets")
    add_record_output(parser, required=False)
    parser.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        default="auto",
        help="what the files hold (default: %(default)s)",
    )
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="FIELD=COLUMN",
        help="which column holds question and answer, messages (role, content), or text; also "
        "system, model, condition, source, and how user and assistant are spelt",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help="who answered, for records that do not say",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing: show three converted samples, and what cannot be read and why",
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.column_map import ColumnMap
    from ochat_data.errors import OutputError
    from ochat_data.record_steps import import_item
    from ochat_data.stages import run_stage

    columns = ColumnMap.parse(args.columns).columns if args.columns else None

    def step(item: RawItem) -> list[Record]:
        return import_item(item, format_name=args.format, columns=columns, model=args.model)

    text = args.format == "text" and not columns
    if args.dry_run:
        from ochat_data.dry_run import dry_run

        dry_run(args.files, step, sys.stdout.write, text=text)
        return
    if not args.output:
        raise OutputError("give --output FILE, or --dry-run to see what would be written")
    run_stage(
        "import",
        args.files,
        args.output,
        step,
        text=text,
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
