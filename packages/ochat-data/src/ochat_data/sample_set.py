"""The sample conversations that ship with this package; how they were made is told beside them.

Hands out paths only; they are ordinary ShareGPT files for `ochat-data import`.
"""

from __future__ import annotations

from pathlib import Path

from .errors import InputError


def sample_files() -> tuple[Path, ...]:
    """The shipped ShareGPT files, sorted by name.

    Raises:
        InputError: The installation lacks them.
    """
    folder = Path(__file__).parent / "sample"
    files = tuple(sorted(folder.glob("*.json")))
    if not files:
        raise InputError(f"{folder} holds no sample files; install ochat-data again")
    return files
