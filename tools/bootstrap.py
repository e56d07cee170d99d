"""Run one of the repository's commands on a machine that has only Python.

    python3 tools/bootstrap.py demo       raw chat in, a served and measured model out
    python3 tools/bootstrap.py test       everything that is checked every day
    python3 tools/bootstrap.py test-all   and what takes long

Hatch is installed into `.hatch` of this checkout, once; it makes the environments. Nothing is
installed outside the checkout (pip keeps its usual cache). Any other words go to `hatch run` as
they are.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".hatch"
BIN = HOME / ("Scripts" if os.name == "nt" else "bin")
HATCH = BIN / ("hatch.exe" if os.name == "nt" else "hatch")
# Written last and holding the folder's path: what was cut off, or moved to another place (scripts
# name their interpreter by its full path), is made again instead of half working.
COMPLETE = HOME / "complete"

# A suite is a list of `hatch run` commands; hatch.toml says what each one does and where.
TEST = ["lint:check", "lint:wheels", "types", "test"]
TEST_ALL = ["lint:check", "lint:wheels", "types", "test-all", "isolated:test"]


def main() -> int:
    """Installs hatch if need be and runs a suite, or `hatch run` with the given words."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if sys.version_info < (3, 11):  # noqa: UP036 - this file may be run by any Python
        print(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    if not is_complete() and not install_hatch():
        return 1
    for command in commands(words):
        status = run_hatch(command)
        if status != 0:
            return status
    return 0


def commands(words: list[str]) -> list[list[str]]:
    """The `hatch run` commands behind the given words."""
    suites = {"test": TEST, "test-all": TEST_ALL}
    if words[0] not in suites or len(words) > 1:
        return [words]
    names = suites[words[0]]
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        names = [*names, "vllm:test", "covered"]
    else:
        print("vLLM has no CPU wheel for this machine: its tests are left out", file=sys.stderr)
    return [[name] for name in names]


def run_hatch(words: list[str]) -> int:
    """Runs `hatch run` from the root, with everything it makes inside this checkout."""
    print(f"\n$ hatch run {' '.join(words)}", file=sys.stderr, flush=True)
    (HOME / "config.toml").touch()
    names = {"HATCH_CONFIG": "config.toml", "HATCH_DATA_DIR": "data", "HATCH_CACHE_DIR": "cache"}
    environment = {name: str(HOME / place) for name, place in names.items()} | os.environ
    # A group of its own, so that whoever ends this process ends all that it started.
    group = {} if os.name == "nt" else {"process_group": 0}
    hatch = subprocess.Popen([str(HATCH), "run", *words], cwd=ROOT, env=environment, **group)
    if group:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.killpg(hatch.pid, number))
    return hatch.wait()


def is_complete() -> bool:
    """Whether hatch is installed, here and not in a place that this checkout was moved from."""
    return COMPLETE.exists() and COMPLETE.read_text(encoding="utf-8") == str(HOME)


def install_hatch() -> bool:
    """Makes `.hatch`, a virtual environment with hatch; says what is missing if it cannot."""
    print("setting up hatch in .hatch (once) ...", file=sys.stderr)
    try:
        import ensurepip  # noqa: F401 - Debian splits it off; without it a new venv has no pip
        import venv
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(
            "this Python cannot make virtual environments: install its venv module "
            f"(Debian and Ubuntu: apt install python{version}-venv) and run the command again",
            file=sys.stderr,
        )
        return False
    if COMPLETE.exists():  # moved: the environments that hatch made have the same fault
        shutil.rmtree(ROOT / ".venv", ignore_errors=True)
    try:
        venv.create(HOME, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no virtual environment could be made in {HOME}: {error}", file=sys.stderr)
        return False
    command = [BIN / "python", "-m", "pip", "install", "--quiet", "hatch>=1.18,<2"]
    if subprocess.run(command, check=False).returncode != 0:
        print("hatch could not be installed; is the package index within reach?", file=sys.stderr)
        return False
    COMPLETE.write_text(str(HOME), encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
