"""Do what a newcomer does: with Python alone, run every command block of the READMEs in order.

    python3 tools/newcomer.py              all six
    python3 tools/newcomer.py ochat-data   one package's
    python3 tools/newcomer.py top          the repository's own

Clones this repository's last commit into a new folder with an empty home, builds the five wheels
there, and gives each package an environment of its own into which its wheel, its siblings' wheels
and what they require are installed. Nothing is taken from the caller's environment but pip's
settings. What each environment holds is left in `WORK/ochat-NAME.txt`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import blocks

# In dependency order, each with the siblings whose wheels it needs.
SIBLINGS = {
    "ochat-templates": (),
    "ochat-data": ("ochat-templates",),
    "ochat-train": ("ochat-templates", "ochat-data"),
    "ochat-serve": ("ochat-templates",),
    "ochat-eval": ("ochat-templates", "ochat-serve"),
}
TOP = "top"
BLOCK_SECONDS = 1800.0


class NewcomerError(Exception):
    """A newcomer would have been stuck here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the newcomer works.

    Attributes:
        work: The folder that holds everything.
        clone: The fresh clone in it.
        dist: The built wheels.
        python: The Python that was there before.
        environment: Variables of every command.
    """

    work: Path
    clone: Path
    dist: Path
    python: str
    environment: dict[str, str]


def settle(work: Path) -> Place:
    """A clone of the last commit, an empty home, and a search path without our tools."""
    home, clone, dist = work / "home", work / "clone", work / "dist"
    home.mkdir(parents=True)
    passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    passed.pop("PIP_CONSTRAINT", None)
    python = Path(sys.base_prefix) / "bin/python3"
    environment = passed | {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
    }
    place = Place(work=work, clone=clone, dist=dist, python=str(python), environment=environment)
    command(place, ["git", "clone", "--quiet", str(blocks.ROOT), str(clone)], work)
    return place


def command(place: Place, words: Sequence[str], folder: Path, **more: str) -> str:
    """Runs one command and returns what it printed; a failure ends the script."""
    result = subprocess.run(
        words,
        cwd=folder,
        env=place.environment | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise NewcomerError(f"$ {' '.join(words)}\n{result.stdout[-4000:]}")
    return result.stdout


def build(place: Place) -> None:
    """The five wheels, by the pip of a new environment."""
    builder = place.work / "builder"
    command(place, [place.python, "-m", "venv", str(builder)], place.work)
    for name in SIBLINGS:
        words = [str(builder / "bin/python"), "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command(
            place,
            [*words, "--wheel-dir", str(place.dist), str(place.clone / "packages" / name)],
            place.work,
        )


def package(place: Place, name: str) -> None:
    """One package in an environment of its own: installed, started, its README run."""
    home = place.work / name
    command(place, [place.python, "-m", "venv", str(home)], place.work)
    python = str(home / "bin/python")
    links = f"{place.environment.get('PIP_FIND_LINKS', '')} {place.dist.as_uri()}".strip()
    inside = {
        "PATH": f"{home / 'bin'}:{place.environment['PATH']}",
        "PIP_FIND_LINKS": links,
        # The CPU build of torch where the caller's settings offer one, instead of CUDA's gigabytes.
        "PIP_CONSTRAINT": (place.clone / "constraints.txt").as_uri(),
    }
    pip = [python, "-m", "pip", "install", "--quiet"]
    only_wheels = ["--no-index", "--no-deps", "--find-links", str(place.dist)]
    own = command(place, [*pip, *only_wheels, *SIBLINGS[name], name], place.work)
    own += command(place, [*pip, name], place.work, **inside)
    command(place, [python, "-m", "pip", "check"], place.work)
    held = command(place, [python, "-m", "pip", "list", "--format", "freeze"], place.work)
    (place.work / f"{name}.txt").write_text(held, encoding="utf-8")
    command(place, [python, "-c", f"import {name.replace('-', '_')}"], place.work)
    command(place, [str(home / "bin" / name), "--help"], place.work)
    folder = place.work / f"{name}-readme"
    folder.mkdir()
    page = place.clone / "packages" / name / "README.md"
    run_page(page, folder, place.environment | inside, python)


def run_page(page: Path, folder: Path, environment: dict[str, str], python: str) -> None:
    """Every block of a page that is not marked `not run`."""
    for block in blocks.blocks(page):
        if not block.runs or block.marker == "not run":
            continue
        began = time.monotonic()
        print(f"  {first_line(block.code)}", end=" ", flush=True)
        result = block.run(folder, environment, python=python, timeout_seconds=BLOCK_SECONDS)
        print(f"[{time.monotonic() - began:.0f} s]", flush=True)
        if result.returncode != 0:
            raise NewcomerError(f"{page}:\n{block.code}\n{result.stdout[-4000:]}")


def first_line(code: str) -> str:
    """A block's beginning, for the reader of the log."""
    return code.splitlines()[0][:80]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"packages, or {TOP} (all)")
    parser.add_argument("--work", type=Path, help="new folder to work in (default: a temporary)")
    options = parser.parse_args()
    options.names = options.names or [TOP, *SIBLINGS]
    unknown = set(options.names) - {TOP, *SIBLINGS}
    if unknown:
        parser.error(f"no {', '.join(sorted(unknown))}; choose of {TOP}, {', '.join(SIBLINGS)}")
    if options.work is not None and options.work.exists():
        parser.error(f"{options.work} exists; name a new folder")
    return options


def main() -> int:
    """Runs the pages that were asked for; exit status 1 where a newcomer would have been stuck."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as temporary:
        work = (options.work or Path(temporary) / "work").resolve()
        began = time.monotonic()
        try:
            place = settle(work)
            if options.names != [TOP]:
                build(place)
            for name in options.names:
                print(f"{name}:", flush=True)
                if name == TOP:
                    page = place.clone / "README.md"
                    run_page(page, place.clone, place.environment, place.python)
                else:
                    package(place, name)
        except (NewcomerError, subprocess.TimeoutExpired) as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
        print(f"all of it in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
