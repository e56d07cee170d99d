"""`ochat-data dedup`: leaves out records that say the same as an earlier one."""

from __future__ import annotations

import argparse

from .options import add_files, add_record_output, add_reject_options, rate

_DESCRIPTION = """\
Leaves out records that say the same as an earlier one, and lists which with --groups.

--method exact   the same texts but for case and spaces
--method near    also texts of which --threshold of the five-word runs are the same (estimated by
                 MinHash with 128 permutations; 0.8 means four in five)

Model, condition and origin are not compared. Of each group the first record is kept.

example:
  ochat-data dedup a.jsonl b.jsonl --output unique.jsonl --method near --groups groups.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "dedup",
        help="leave out records that say the same as an earlier one",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    add_record_output(parser)
    parser.add_argument(
        "--method",
        choices=("exact", "near"),
        default="exact",
        help="what counts as the same (default: %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        type=rate,
        default=0.8,
        metavar="SHARE",
        help="least similarity of near duplicates (default: %(default)s)",
    )
    parser.add_argument(
        "--groups", metavar="FILE", help="where to list the groups: kept, dropped, similarity"
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from pathlib import Path

    from ochat_data.duplicate_removal import remove_duplicates
    from ochat_data.stages import describe_counts, report

    counts, groups = remove_duplicates(
        args.files,
        args.output,
        method=args.method,
        threshold=args.threshold,
        groups=Path(args.groups) if args.groups else None,
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
    report(f"dedup: {describe_counts(counts, None)}, in {groups} groups")
