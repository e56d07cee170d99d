"""`ochat-data tokenize`: records to a token dataset."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from .options import add_files, add_reject_options, rate, whole

if TYPE_CHECKING:
    from ochat_data.manifest import Manifest, StageInfo
    from ochat_data.rejects import RejectLog
    from ochat_data.tokenizing import TokenDatasetBuilder

_DESCRIPTION = """\
Turns records into a token dataset: a folder with Parquet shards of token ids and loss weights,
and manifest.json, which says how it was made. Training reads it without the tokenizer.

--weights says what a token of an answer counts (w is its message's weight, n/n_c the conversations
divided by those of its condition):

  per-message    w (default; OpenChat 3.5 and later)
  uniform        1 where w > 0 (V1, V2)
  v2w            n/n_c (V2-W)
  v3-balanced    n/n_c, divided by the supervised tokens of the conversation (V3.1, V3.2)
  turn-mean      w, divided by the tokens of the turn (3.5 with --per-sequence-loss)
  turn-balanced  n/n_c, divided by the tokens of the turn
  crlft-0.1      1 under the expert's condition, else 0.1 (V3.2 SUPER and the C-RLFT paper)

--truncation says what happens to a conversation longer than --max-length: 'cut' keeps its first
tokens (2023), 'cut-trim' these less a tail without weight (2024), 'turns' the exchanges that fit
whole, 'split' makes several examples of it between exchanges, 'drop' leaves it out. Plain
documents are always split.

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
        choices=("cut", "cut-trim", "turns", "split", "drop"),
        default="cut",
        help="what happens to longer conversations (default: %(default)s)",
    )
    _add_weights(parser)
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


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        choices=(
            *("per-message", "uniform", "v2w", "v3-balanced"),
            *("turn-mean", "turn-balanced", "crlft-0.1"),
        ),
        default="per-message",
        help="what a token of an answer counts (default: %(default)s)",
    )
    parser.add_argument(
        "--expert",
        default="",
        metavar="CONDITION",
        help="the expert's condition, for crlft-0.1 (default: the one that the template answers "
        "with)",
    )
    parser.add_argument(
        "--condition-weight",
        action="append",
        default=[],
        metavar="CONDITION=FACTOR",
        help="multiply the weights of a condition; may be repeated",
    )


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.examples import TokenizeOptions
    from ochat_data.manifest import SourceInfo, StageInfo
    from ochat_data.reading import file_digest, plain_name, require_readable
    from ochat_data.stages import reject_log
    from ochat_data.tokenizing import TokenDatasetBuilder
    from ochat_data.weighting import Weighting
    from ochat_templates import load_codec

    require_readable(args.files)
    log = reject_log(args.output, args.rejects, [*args.files, args.tokenizer])
    codec = load_codec(args.tokenizer, args.template)
    options = TokenizeOptions(
        max_length=args.max_length,
        truncation=args.truncation,
        weighting=Weighting(
            preset=args.weights,
            expert=args.expert,
            conditions=_factors(args.condition_weight),
        ),
        eval_fraction=args.eval_fraction,
        seed=args.seed,
    )
    builder = TokenDatasetBuilder(Path(args.output), codec, options, overwrite=args.overwrite)
    with log, builder:
        read = _add_all(args.files, builder, log)
        log.check(read.total(), args.max_reject_rate)
        counts = builder.counts
        dropped = {"too long": counts.too_long, "nothing to learn": counts.nothing_to_learn}
        stage = StageInfo(
            name="tokenize",
            read=read.total(),
            used=counts.used,
            written=counts.examples,
            rejected=log.count,
            dropped={reason: number for reason, number in dropped.items() if number},
        )
        sources = [
            SourceInfo(name=plain_name(file), sha256=file_digest(file), records=read[file])
            for file in dict.fromkeys(args.files)
        ]
        manifest = builder.finish(sources, [stage])
    _summarize(manifest, stage, log)


def _factors(entries: list[str]) -> dict[str, float]:
    from ochat_data.errors import LabelError

    factors: dict[str, float] = {}
    for entry in entries:
        condition, separator, text = entry.rpartition("=")
        try:
            factors[condition] = float(text)
        except ValueError:
            separator = ""
        if not separator:
            raise LabelError(
                f"--condition-weight takes CONDITION=FACTOR, such as GPT3=0.1: {entry!r}"
            )
    return factors


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


def _summarize(manifest: Manifest, stage: StageInfo, log: RejectLog) -> None:
    from ochat_data.stages import report

    train, held_out = (manifest.splits[name].totals for name in ("train", "eval"))
    truncation = manifest.truncation
    where = f" (see {log.path})" if log.count else ""
    parts = f" as {stage.written} examples" if stage.written != stage.used else ""
    report(
        f"tokenize: {stage.read} in = {stage.used} used{parts} "
        f"({train.examples} train + {held_out.examples} eval) "
        f"+ {manifest.nothing_to_learn} with nothing to learn + {truncation.dropped} too long "
        f"+ {log.count} rejected{where}; {truncation.cut} cut to "
        f"{manifest.context_length} tokens, {truncation.split} split, "
        f"{truncation.lost_tokens} tokens lost; {train.tokens + held_out.tokens} tokens, "
        f"{train.supervised_tokens + held_out.supervised_tokens} of them supervised"
    )
