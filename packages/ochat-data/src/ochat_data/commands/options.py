"""Arguments that several sub-commands share, so that they read the same everywhere."""

from __future__ import annotations

import argparse

from ochat_data.rejects import DEFAULT_MAX_REJECT_RATE


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds the input files."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"{what}; '-' is standard input")


def add_record_output(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds the record file that a command writes."""
    parser.add_argument(
        "--output", required=required, metavar="FILE", help="record file to write; '-' is stdout"
    )


def add_reject_options(parser: argparse.ArgumentParser) -> None:
    """Adds where bad records go and how many of them fail the run."""
    parser.add_argument(
        "--rejects",
        metavar="FILE",
        help="where bad records go, each with place, reason and raw text "
        "(default: OUTPUT.rejects.jsonl; with --output - they are only counted)",
    )
    parser.add_argument(
        "--max-reject-rate",
        type=rate,
        default=DEFAULT_MAX_REJECT_RATE,
        metavar="SHARE",
        help="fail, and write no output, if more than this share of the records is bad "
        "(default: %(default)s)",
    )


def rate(text: str) -> float:
    """Reads a share between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got {text!r}")
    return value


def whole(text: str) -> int:
    """Reads an integer that is not negative."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")
    return value
