"""`ochat-train report`: a run's figures as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Writes one HTML page that needs no network: loss, held-out loss by condition, learning rate,
gradient norm, speed and fill of a run. Works while the run goes on, and after it was killed.

  ochat-train report run --output report.html
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    import argparse

    parser = commands.add_parser(
        "report",
        help="write a run's figures as one HTML page",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="--output of ochat-train run")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page (default: RUN/report.html)"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Writes the page and prints where it is."""
    from .report import write_report

    print(write_report(options.run, options.output or options.run / "report.html"))  # noqa: T201
