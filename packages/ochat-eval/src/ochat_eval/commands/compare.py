"""`ochat-eval compare`: two runs of the same questions, paired.

The figures are made in `ochat_eval.comparison`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from ochat_eval.commands.numbers import between, share
from ochat_eval.errors import RunFolderError
from ochat_eval.table import lines_of

if TYPE_CHECKING:
    from ochat_eval.comparison import Comparison, TaskComparison
    from ochat_eval.pairing import Flip, Pairing

_SIGNIFICANT = 0.05
_EPILOG = """\
--power G asks: had the second run been better by G points, how likely would this test have found
it? With two runs, by their number of questions and how often they differ; before there are any:

  ochat-eval compare --power 4 --n 1319 --accuracy 0.7 --correlation 0.6

example:
  ochat-eval compare runs/before runs/after --power 4
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "compare",
        help="compare two runs of the same questions, paired",
        description="Compare two runs question by question: exact McNemar test, the difference "
        "with its 95 % interval by a paired bootstrap, every task with Holm's correction, which "
        "questions flipped, and the smallest gain that would have been found. Refuses runs of "
        "different questions or of different versions of a task.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="DIR", help="before and after")
    parser.add_argument("--flips", type=int, default=20, help="flips to list (default: 20)")
    parser.add_argument(
        "--power", type=_points, metavar="POINTS", help="also: the chance to find such a gain"
    )
    plan = parser.add_argument_group("--power without runs")
    plan.add_argument("--n", type=_count, help="questions")
    plan.add_argument("--accuracy", type=share, default=0.5, help="of before (default: 0.5)")
    plan.add_argument(
        "--correlation", type=share, default=0.6, help="of being right (default: 0.6)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the comparison."""
    if not arguments.folders and arguments.power is not None and arguments.n:
        return _plan(arguments)
    if len(arguments.folders) != 2:
        raise RunFolderError("compare takes two run folders, or --power with --n and none")
    from ochat_eval.comparison import compared
    from ochat_eval.pairing import pair

    first, second = arguments.folders
    found = compared(pair(first, second))
    gain = arguments.power
    if arguments.json:
        told = found.to_json()
        if gain is not None:
            told["power"] = {"gain": gain / 100, "power": found.power(gain / 100)}
        return _write(told)
    said = lines(found, first, second, arguments.flips)
    if gain is not None and found.pairing.n:
        said.append(f"power to find a gain of {gain:g} points: {found.power(gain / 100):.0%}")
    print("\n".join(said))
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from ochat_eval.statistics.power import detectable, expected_flips, power

    gain, before = arguments.power / 100, arguments.accuracy
    flips = expected_flips(before, min(before + gain, 1.0), arguments.correlation)
    found = power(arguments.n, gain, flips)
    smallest = detectable(arguments.n, flips)
    if arguments.json:
        return _write(
            {
                "n": arguments.n,
                "flip_rate": flips,
                "minimum_detectable_effect": smallest,
                "power": {"gain": gain, "power": found},
            }
        )
    print(
        f"{arguments.n} questions, of which {flips:.1%} are expected to flip: power {found:.0%} to "
        f"find {arguments.power:g} points; found with 80 %: {_smallest(smallest)}"
    )
    return 0


def _write(told: dict[str, object]) -> int:
    sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
    return 0


def lines(found: Comparison, first: Path, second: Path, flips: int) -> list[str]:
    """The comparison in words and tables."""
    pairing, interval = found.pairing, found.interval
    if pairing.difference is None or interval is None:
        return ["NO COMPARISON: there is no question that both runs answered."]
    rows = [("run", "n", "correct", "accuracy")]
    for path, correct in ((first, pairing.first_correct), (second, pairing.second_correct)):
        rows.append((str(path), str(pairing.n), str(correct), f"{correct / pairing.n:.1%}"))
    said = [
        *lines_of(rows),
        f"difference {pairing.difference * 100:+.1f} points "
        f"(95 % interval {interval[0] * 100:+.1f} to {interval[1] * 100:+.1f}), "
        f"{pairing.fixed} fixed, {pairing.broken} broken, "
        f"exact McNemar p = {pairing.p_value:.3g}",
        _sentence(pairing, second),
        "smallest gain that such runs would show with 80 % power: " + _smallest(found.detectable),
    ]
    if pairing.left_out:
        said.append(
            f"{pairing.left_out} questions without an answer in one of the two are left out"
        )
    if len(found.tasks) > 1:
        header = ("task", "n", "difference", "fixed", "broken", "p", "p (Holm)")
        said += ["", *lines_of([header, *map(_task, found.tasks)])]
    shown = pairing.flips[: max(flips, 0)]
    if shown:
        said += ["", *lines_of([("flip", "question", "before", "after"), *map(_row, shown)])]
    if len(pairing.flips) > len(shown):
        said.append(f"... and {len(pairing.flips) - len(shown)} more (--flips N, or --json)")
    return said


def _sentence(found: Pairing, second: Path) -> str:
    if not found.flips:
        return "No question flipped: both got the same ones right."
    if found.p_value >= _SIGNIFICANT:
        return "A split so uneven is not rare between equally good runs: this shows no difference."
    better = "better" if found.fixed > found.broken else "worse"
    return f"{second} is {better} on these questions; chance alone would rarely split them so."


def _smallest(gain: float | None) -> str:
    return "none" if gain is None else f"{gain * 100:.1f} points"


def _task(task: TaskComparison) -> tuple[str, ...]:
    return (
        task.name,
        str(task.n),
        f"{task.difference * 100:+.1f}",
        str(task.fixed),
        str(task.broken),
        f"{task.p_value:.3g}",
        f"{task.adjusted:.3g}",
    )


def _row(flip: Flip) -> tuple[str, ...]:
    return ("fixed" if flip.fixed else "broken", flip.id, flip.first, flip.second)


def _points(text: str) -> float:
    return between(text, 0.0, 100.0)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
