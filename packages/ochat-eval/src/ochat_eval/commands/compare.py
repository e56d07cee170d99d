"""`ochat-eval compare`: two runs of the same questions, paired.

The figures are made in `ochat_eval.pairing`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from ochat_eval.pairing import Flip, Pairing, pair
from ochat_eval.table import lines_of

_SIGNIFICANT = 0.05


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "compare",
        help="compare two runs of the same questions, paired",
        description="Compare two runs question by question: exact McNemar test, the difference "
        "with its 95 % interval, and which questions flipped. Refuses runs of different questions "
        "or of different versions of a task.",
        epilog="example: ochat-eval compare runs/before runs/after",
    )
    parser.add_argument("first", type=Path, metavar="DIR", help="the run before")
    parser.add_argument("second", type=Path, metavar="DIR", help="the run after")
    parser.add_argument("--flips", type=int, default=20, help="flips to list (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the comparison."""
    found = pair(arguments.first, arguments.second)
    if arguments.json:
        flips = [{"id": f.id, "group": f.group, "fixed": f.fixed} for f in found.flips]
        told = found.to_json() | {"flips": flips}
        sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    print("\n".join(lines(found, arguments.first, arguments.second, arguments.flips)))
    return 0


def lines(found: Pairing, first: Path, second: Path, flips: int) -> list[str]:
    """The comparison in words and tables."""
    if found.difference is None:
        return ["NO COMPARISON: there is no question that both runs answered."]
    low, high = found.interval
    rows = [("run", "n", "correct", "accuracy")]
    for path, correct in ((first, found.first_correct), (second, found.second_correct)):
        rows.append((str(path), str(found.n), str(correct), f"{correct / found.n:.1%}"))
    said = [
        *lines_of(rows),
        f"difference {found.difference * 100:+.1f} points "
        f"(95 % interval {low * 100:+.1f} to {high * 100:+.1f}), "
        f"{found.fixed} fixed, {found.broken} broken, exact McNemar p = {found.p_value:.3g}",
        _sentence(found, second),
    ]
    if found.left_out:
        said.append(f"{found.left_out} questions without an answer in one of the two are left out")
    shown = found.flips[: max(flips, 0)]
    if shown:
        said += ["", *lines_of([("flip", "question", "before", "after"), *map(_row, shown)])]
    if len(found.flips) > len(shown):
        said.append(f"... and {len(found.flips) - len(shown)} more (--flips N, or --json)")
    return said


def _sentence(found: Pairing, second: Path) -> str:
    if not found.flips:
        return "No question flipped: both got the same ones right."
    if found.p_value >= _SIGNIFICANT:
        return "A split so uneven is not rare between equally good runs: this shows no difference."
    better = "better" if found.fixed > found.broken else "worse"
    return f"{second} is {better} on these questions; chance alone would rarely split them so."


def _row(flip: Flip) -> tuple[str, ...]:
    return ("fixed" if flip.fixed else "broken", flip.id, flip.first, flip.second)
