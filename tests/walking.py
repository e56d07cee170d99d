"""The commands as a user types them, and what the demo's walk leaves on disk."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What the commands left on disk, step by step.

    Attributes:
        raw: Raw dumps in ShareGPT's form.
        labelled: Conversations as JSON lines, with condition and weights.
        base: A folder with config.json and tokenizer.model, without weights.
        dataset: The token dataset.
        model: The trained model's folder.
    """

    raw: list[Path]
    labelled: Path
    base: Path
    dataset: Path
    model: Path


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs one of the project's commands to its end."""
    program, *arguments = map(str, words)
    result = subprocess.run(
        [BIN / program, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"
    return result


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Waits for the server to take requests."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended before it was ready"
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail("the server was not ready within 90 seconds")
