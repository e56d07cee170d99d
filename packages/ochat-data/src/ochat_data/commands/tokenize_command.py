"""`ochat-data tokenize`: records to a token dataset."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_data.manifest import TRUNCATIONS

from .options import add_files, add_reject_options, rate, whole

if TYPE_CHECKING:
    from ochat_data.manifest import Manifest
    from ochat_data.rejects import RejectLog
    from ochat_data.tokenizing import TokenDatasetBuilder

_DESCRIPTION = """\
Turns records into a token dataset: a folder with Parquet shards of token ids and loss weights,
and manifest.json, which says how it was made. Training reads it without the tokenizer.

Records with nothing to learn (no answer with a weight within the length) are left out and counted.
The folder appears only when everything is written.

example:
  ochat-data tokenize labelled.jsonl --template openchat_v3.2 --tokenizer tokenizer.model \\
      --output dataset --eval-fraction 0.05
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "tokenize",
        help="records to a token dataset",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    parser.add_argument(
        "--template", required=True, metavar="T", help="chat format, such as openchat_v3.2"
    )
    parser.add_argument(
        "--tokenizer",
        required=True,
        metavar="PATH",
        help="a SentencePiece .model, a tokenizer.json, or a folder that holds one",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--max-length",
        type=whole,
        metavar="N",
        help="most tokens of an example (default: the template's context length)",
    )
    parser.add_argument(
        "--truncation",
        choices=TRUNCATIONS,
        default="cut",
        help="longer examples are cut to the first N tokens, or left out (default: %(default)s)",
    )
    parser.add_argument(
        "--eval-fraction",
        type=rate,
        default=0.0,
        metavar="F",
        help="share of records held out for evaluation, chosen by a hash of their id "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=whole, default=0, help="changes which are held out (default: %(default)s)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a dataset that is there already"
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.manifest import SourceInfo
    from ochat_data.reading import file_digest, plain_name, require_readable
    from ochat_data.stages import reject_log
    from ochat_data.tokenizing import TokenDatasetBuilder, TokenizeOptions
    from ochat_templates import load_codec

    options = TokenizeOptions(
        max_length=args.max_length,
        truncation=args.truncation,
        eval_fraction=args.eval_fraction,
        seed=args.seed,
    )
    require_readable(args.files)
    log = reject_log(args.output, args.rejects, [*args.files, args.tokenizer])
    codec = load_codec(args.tokenizer, args.template)
    builder = TokenDatasetBuilder(Path(args.output), codec, options, overwrite=args.overwrite)
    with log, builder:
        read = _add_all(args.files, builder, log)
        log.check(read.total(), args.max_reject_rate)
        manifest = builder.finish(
            [
                SourceInfo(name=plain_name(file), sha256=file_digest(file), records=read[file])
                for file in dict.fromkeys(args.files)
            ]
        )
    _summarize(manifest, read.total(), log)


def _add_all(files: list[str], builder: TokenDatasetBuilder, log: RejectLog) -> Counter[str]:
    """Adds every record; returns how many each file had."""
    from ochat_data.errors import RecordError
    from ochat_data.progress import Progress
    from ochat_data.reading import read_items
    from ochat_data.record import Record
    from ochat_data.stages import parse_item
    from ochat_templates import ConversationError

    read: Counter[str] = Counter()
    progress = Progress("tokenize")
    total = 0
    for item in read_items(files):
        total += 1
        read[item.file] += 1
        try:
            builder.add(Record.from_json(parse_item(item)))
        except (RecordError, ConversationError) as error:
            log.add(item, "tokenize", str(error))
        progress.update(total, builder.counts.tokens)
    progress.finish(total, builder.counts.tokens)
    return read


def _summarize(manifest: Manifest, read: int, log: RejectLog) -> None:
    from ochat_data.stages import report

    train, held_out = (manifest.splits[name].totals for name in ("train", "eval"))
    truncation = manifest.truncation
    where = f" (see {log.path})" if log.count else ""
    report(
        f"tokenize: {read} in = {train.examples} train + {held_out.examples} eval "
        f"+ {manifest.nothing_to_learn} with nothing to learn + {truncation.dropped} too long "
        f"+ {log.count} rejected{where}; {truncation.cut} cut to "
        f"{manifest.context_length} tokens; {train.tokens + held_out.tokens} tokens, "
        f"{train.supervised_tokens + held_out.supervised_tokens} of them supervised"
    )
