"""`ochat-data label`: condition and loss weights by the model that answered."""

from __future__ import annotations

import argparse

from ochat_data.labelling import UNMATCHED, WEIGHT_PRESETS

from .options import add_files, add_record_output, add_reject_options

_DESCRIPTION = """\
Gives every record the condition of the model that answered it, and its answers a loss weight.

--map MODEL=CONDITION may be repeated. MODEL is compared with the record's "model" letter by
letter; '*' stands for every model not named. The condition of the FIRST --map is the expert's.

--weights crlft-0.1   answers under the expert's condition count 1.0, all others 0.1 (C-RLFT)
--weights uniform     all answers count 1.0

The weight is written on every assistant message, replacing one that was there, except that a
message with weight 0 (not to be learnt) keeps it.

example:
  ochat-data label clean.jsonl --output labelled.jsonl \\
      --map gpt-4=GPT4 --map gpt-3.5-turbo=GPT3 --weights crlft-0.1
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "label",
        help="give records a condition and loss weights by their model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    add_record_output(parser)
    parser.add_argument(
        "--map",
        action="append",
        required=True,
        metavar="MODEL=CONDITION",
        help="condition of a model; the first one is the expert's",
    )
    parser.add_argument(
        "--weights",
        choices=WEIGHT_PRESETS,
        default="uniform",
        help="loss weights (default: %(default)s)",
    )
    parser.add_argument(
        "--unmatched",
        choices=UNMATCHED,
        default="error",
        help="what to do with records whose model no --map names; 'keep' leaves them as they are "
        "(default: %(default)s)",
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.labelling import LabelMap
    from ochat_data.record_steps import label_step
    from ochat_data.stages import on_records, run_stage

    labels = LabelMap.parse(args.map, weights=args.weights)
    run_stage(
        "label",
        args.files,
        args.output,
        on_records(label_step(labels, args.unmatched)),
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
