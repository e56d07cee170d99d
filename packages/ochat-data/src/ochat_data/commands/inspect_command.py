"""`ochat-data inspect`: looks into a token dataset or a record file."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .options import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTION = """\
Of a token dataset: what it holds, and one example's tokens with their loss weights, one line for
each run of tokens with the same weight. With --tokenizer the tokens are shown as text, divided by
'|', and the tokenizer is checked against the dataset's fingerprint.

Of a record file: one conversation with its weights; with --template and --tokenizer its tokens.

examples:
  ochat-data inspect dataset --index 3 --tokenizer tokenizer.model
  ochat-data inspect records.jsonl --template openchat_v3.2 --tokenizer tokenizer.model
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "inspect",
        help="show a dataset's summary and a conversation's tokens with their weights",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="DIR|FILE", help="a token dataset or a record file")
    parser.add_argument(
        "--index",
        type=whole,
        default=0,
        metavar="N",
        help="which example, counted from 0 (default: %(default)s)",
    )
    parser.add_argument(
        "--split",
        choices=("train", "eval"),
        default="train",
        help="which split (default: %(default)s)",
    )
    parser.add_argument("--tokenizer", metavar="PATH", help="show tokens as text")
    parser.add_argument(
        "--template",
        metavar="T",
        help="chat format (default: the dataset's)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    tokenizer: str | None = args.tokenizer
    template: str | None = args.template
    if Path(args.path).is_dir():
        lines = _dataset_lines(Path(args.path), args.split, args.index, tokenizer, template)
    else:
        lines = _record_lines(args.path, args.index, tokenizer, template)
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _dataset_lines(
    folder: Path, split_name: str, index: int, tokenizer: str | None, template: str | None
) -> Iterator[str]:
    from ochat_data.dataset import TokenDataset
    from ochat_data.inspection import manifest_lines, token_lines, token_runs
    from ochat_templates import load_codec

    dataset = TokenDataset.open(folder)
    codec = None
    if tokenizer is not None:
        codec = load_codec(tokenizer, template or dataset.manifest.template)
        codec.fingerprint.require_equal(dataset.fingerprint, f"the dataset {folder}")
    example = dataset.split(split_name).example(index)
    yield from manifest_lines(dataset.manifest)
    yield ""
    condition = example.condition or "-"
    yield f"{split_name} example {index}: record {example.id}, condition {condition}"
    runs = token_runs(example.ids.tolist(), example.weights.tolist())
    yield from token_lines(runs, codec, colour=sys.stdout.isatty())


def _record_lines(
    file: str, index: int, tokenizer: str | None, template: str | None
) -> Iterator[str]:
    from ochat_data.errors import InputError
    from ochat_data.inspection import record_lines, token_lines, token_runs
    from ochat_data.reading import read_items
    from ochat_data.record import Record
    from ochat_data.stages import parse_item
    from ochat_templates import load_codec

    if (tokenizer is None) != (template is None):
        raise InputError("a record file's tokens need both --template and --tokenizer")
    item = next(islice(read_items([file]), index, None), None)
    if item is None:
        raise InputError(f"{file} has no record {index}, counted from 0; choose a smaller --index")
    record = Record.from_json(parse_item(item))
    yield from record_lines(record)
    if tokenizer is not None and template is not None:
        codec = load_codec(tokenizer, template)
        encoded = codec.encode(record.conversation)
        yield ""
        runs = token_runs(encoded.ids, encoded.weights())
        yield from token_lines(runs, codec, colour=sys.stdout.isatty())
