"""`ochat-data convert`: token datasets from and to the layouts of OpenChat's own trainers."""

from __future__ import annotations

import argparse
from pathlib import Path

_DESCRIPTION = """\
From a Parquet file of OpenChat's own trainers to a token dataset, or back.

  2023   {g}_tokens, {g}_masks, total_loss_weight (V3.1, V3.2)
  2024   nz_input_ids, nz_shifted_label_ids, nz_shifted_loss_weights (3.5, 3.6)

Which layout a file has is told by its columns, its template by its metadata. The tokenizer gives
the dataset the fingerprint that training compares; the file's ids are taken as they are, after a
look whether they begin and end as the template's do.

examples:
  ochat-data convert old.train.parquet --eval old.eval.parquet --tokenizer tokenizer.model \\
      --output dataset
  ochat-data convert dataset --layout 2024 --output old        (old.train.parquet, ...)
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "convert",
        help="token datasets from and to the Parquet files of OpenChat's own trainers",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="FILE|DIR", help="a Parquet file, or a token dataset")
    parser.add_argument(
        "--output", required=True, metavar="NAME", help="folder, or beginning of file names"
    )
    parser.add_argument("--layout", choices=("2023", "2024"), help="layout to write")
    parser.add_argument("--eval", metavar="FILE", help="the file of the eval split")
    parser.add_argument("--tokenizer", metavar="PATH", help="the tokenizer the ids come from")
    parser.add_argument("--template", metavar="T", help="instead of the file's model_type")
    parser.add_argument(
        "--condition", default="", help="condition of all examples, where the layout has none"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there already")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.errors import InputError
    from ochat_data.legacy_conversion import export_legacy, import_legacy
    from ochat_data.stages import report

    path = Path(args.path)
    if path.is_dir():
        if not args.layout:
            raise InputError("give --layout 2023 or 2024 for the files to write")
        written = export_legacy(path, args.output, args.layout, overwrite=args.overwrite)
        report(f"convert: wrote {', '.join(map(str, written))}")
        return
    if not args.tokenizer:
        raise InputError("give --tokenizer, the one that made the ids, for the fingerprint")
    manifest = import_legacy(
        path,
        Path(args.output),
        args.tokenizer,
        eval_file=Path(args.eval) if args.eval else None,
        template=args.template,
        condition=args.condition,
        overwrite=args.overwrite,
    )
    totals = manifest.splits["train"].totals
    report(f"convert: {totals.examples} train examples, {totals.tokens} tokens")
