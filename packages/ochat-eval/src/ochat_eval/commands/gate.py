"""`ochat-eval gate`: an exit code for continuous integration, from two runs or one.

The figures are made in `ochat_eval.comparison`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ochat_eval.comparison import Comparison

_FAILED, _UNDECIDED = 4, 5
_EPILOG = """\
exit codes:
  0  passed
  1  a problem told in one sentence, such as runs of different questions
  4  failed: worse than allowed, beyond chance, or below --min-accuracy
  5  undecided: with --strict, the interval still reaches a drop beyond --max-drop

A run fails where the whole 95 % interval of the difference lies below -MAX_DROP, or where a task
alone is worse with Holm's p-value below 0.05 and by more than MAX_DROP.

example:
  ochat-eval gate runs/main runs/change --max-drop 2 --strict
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "gate",
        help="pass or fail a run against an earlier one, by exit code",
        description="Compare a run with an earlier one of the same questions and leave with an "
        "exit code: a drop that chance explains passes, one beyond chance fails.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", type=Path, metavar="BEFORE", help="the run folder to hold against")
    parser.add_argument("second", type=Path, metavar="AFTER", help="the run folder in question")
    parser.add_argument(
        "--max-drop", type=_points, default=0.0, help="points that may be lost (default: 0)"
    )
    parser.add_argument("--min-accuracy", type=_points, help="in percent, of AFTER")
    parser.add_argument("--strict", action="store_true", help="undecided does not pass")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Say the verdict; its code is the exit code."""
    from ochat_eval.comparison import compared
    from ochat_eval.pairing import pair

    found = compared(pair(arguments.first, arguments.second))
    code, sentence = verdict(
        found,
        max_drop=arguments.max_drop / 100,
        min_accuracy=(arguments.min_accuracy or 0.0) / 100,
        strict=arguments.strict,
    )
    print(sentence)
    return code


def verdict(
    found: Comparison, *, max_drop: float, min_accuracy: float, strict: bool
) -> tuple[int, str]:
    """The exit code, and why."""
    if found.interval is None or found.pairing.difference is None:
        return _UNDECIDED, "UNDECIDED: there is no question that both runs answered"
    low, high = found.interval
    shown = (
        f"{found.pairing.difference * 100:+.1f} points (95 % interval {low * 100:+.1f} to "
        f"{high * 100:+.1f}, n = {found.pairing.n})"
    )
    accuracy = found.pairing.second_correct / found.pairing.n
    if accuracy < min_accuracy:
        return _FAILED, f"FAILED: accuracy {accuracy:.1%} is below {min_accuracy:.1%}; {shown}"
    if high < -max_drop:
        return _FAILED, f"FAILED: {shown}, all of it below -{max_drop * 100:g}"
    worse = [t.name for t in found.tasks if t.adjusted < 0.05 and t.difference < -max_drop]
    if worse:
        return _FAILED, f"FAILED: worse beyond chance in {', '.join(worse)}; overall {shown}"
    if strict and low < -max_drop:
        return _UNDECIDED, f"UNDECIDED: {shown}, which reaches below -{max_drop * 100:g}: ask more"
    return 0, f"PASSED: {shown}"


def _points(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return value
