"""Says how many of each package's lines the tests ran, and fails where that is too few.

    hatch run covered        after `hatch run test` and `hatch run vllm:test`
    hatch run covered --missing     and which lines were not

It fails only where no kind of test was left out for want of a browser, a compiler or vLLM, which
`OCHAT_REQUIRE` says (see conftest.py): elsewhere the figures are told, and are lower.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Percent of lines.
REQUIRED = {"templates": 100, "data": 95, "train": 95, "serve": 95, "eval": 95}
EVERY_KIND = {"browser", "deepspeed", "vllm"}


def main() -> int:
    """Joins what all processes recorded, prints a line a package, and judges."""
    recorded = Path(os.environ["COVERAGE_FILE"])
    if list(recorded.parent.glob(f"{recorded.name}.*")):
        coverage("combine", "--quiet", "--append")
    if not recorded.exists():
        print("nothing was recorded: run the tests first", file=sys.stderr)
        return 1
    too_few: list[str] = []
    for package, least in REQUIRED.items():
        lines = f"*/packages/ochat-{package}/src/*"
        if "--missing" in sys.argv:
            print(coverage("report", "--show-missing", f"--include={lines}"))
        # Two digits, rounded down: 99.996 % are not all lines.
        figure = float(coverage("report", "--precision=2", "--format=total", f"--include={lines}"))
        print(f"ochat-{package:<10} {figure:6.2f} % of lines (at least {least})")
        if figure < least:
            too_few.append(f"ochat-{package}")
    if too_few and set(os.environ.get("OCHAT_REQUIRE", "").split()) >= EVERY_KIND:
        print(
            f"too few lines of {', '.join(too_few)} are tested: see `covered --missing`",
            file=sys.stderr,
        )
        return 1
    return 0


def coverage(*words: str) -> str:
    """What coverage.py's command prints."""
    command = [sys.executable, "-m", "coverage", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
