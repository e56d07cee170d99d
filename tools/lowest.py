"""Install the lowest version of everything that a package says it can do with, into this Python.

    python tools/lowest.py ochat-data [EXTRA ...]

A lower bound that nobody tries is a guess: the `lowest` environments of hatch.toml run this, then
the package's tests. Siblings are left as they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def lowest(project: dict[str, Any], extras: list[str]) -> list[str]:
    """`name==bound` of each direct dependency that names a lower bound.

    Raises:
        SystemExit: If a dependency names none, or an extra does not exist.
    """
    unknown = set(extras) - set(project.get("optional-dependencies", {}))
    if unknown:
        raise SystemExit(f"no such extra: {', '.join(sorted(unknown))}")
    texts = list(project.get("dependencies", []))
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    pins: list[str] = []
    for required in map(Requirement, texts):
        marker = required.marker
        if required.name.startswith("ochat-") or (marker is not None and not marker.evaluate()):
            continue
        bounds = [s.version for s in required.specifier if s.operator in (">=", "~=", "==")]
        if not bounds:
            raise SystemExit(f"{required} names no lower bound: give one that was tried")
        names = f"[{','.join(sorted(required.extras))}]" if required.extras else ""
        pins.append(f"{required.name}{names}=={bounds[0]}")
    return pins


def main() -> int:
    """Installs the pins of the named package."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0
    name, *extras = sys.argv[1:]
    file = ROOT / "packages" / name / "pyproject.toml"
    if not file.exists():
        print(f"no package {name}: {file} does not exist", file=sys.stderr)
        return 1
    pins = lowest(tomllib.loads(file.read_text(encoding="utf-8"))["project"], extras)
    if not pins:
        print(f"{name} depends on nothing", file=sys.stderr)
        return 0
    print(" ".join(pins), file=sys.stderr)
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    command = [sys.executable, "-m", "pip", "install", "--quiet", *pins]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
