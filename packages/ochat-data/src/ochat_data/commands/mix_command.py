"""`ochat-data mix`: several record files into one, each with its share."""

from __future__ import annotations

import argparse

from .options import add_record_output, add_reject_options, whole

_DESCRIPTION = """\
Puts record files together, of each as much as is asked for:

  FILE=0.5      half of its records, chosen by a hash of their ids
  FILE=2        every record twice (further copies get ids of their own)
  FILE=2000000t about two million tokens of it, which needs --template and --tokenizer

Plain documents ('ochat-data import --format text') mix with conversations like any other record.

example:
  ochat-data mix chats.jsonl=1 orca.jsonl=0.25 books.jsonl=5000000t --output mixed.jsonl \\
      --template openchat_v3.2 --tokenizer tokenizer.model
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "mix",
        help="several record files into one, each by weight or number of tokens",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="+", metavar="FILE=AMOUNT", help="see above")
    add_record_output(parser)
    parser.add_argument("--template", metavar="T", help="chat format, to count tokens")
    parser.add_argument("--tokenizer", metavar="PATH", help="tokenizer, to count tokens")
    parser.add_argument("--seed", type=whole, default=0, help="changes which records are chosen")
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.errors import InputError
    from ochat_data.file_mixing import FileShare, mix_files
    from ochat_templates import load_codec

    shares = [FileShare.parse(each) for each in args.sources]
    codec = None
    if any(share.tokens is not None for share in shares):
        if not (args.template and args.tokenizer):
            raise InputError("a number of tokens needs --template and --tokenizer to count them")
        codec = load_codec(args.tokenizer, args.template)
    mix_files(
        shares,
        args.output,
        codec,
        seed=args.seed,
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
