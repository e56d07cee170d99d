"""Imports and `--help` are instant: heavy libraries wait until they are needed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
# Measuring which lines run slows a start down, and loads what it needs itself.
UNMEASURED = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
HEAVY = {"torch", "transformers", "vllm", "deepspeed", "numpy", "pyarrow", "fastapi", "aiohttp"}
# CPU seconds above the bare interpreter; a quiet machine needs a third of it.
HELP_BUDGET_SECONDS = 0.6


@pytest.mark.parametrize(
    ("package", "may_load"),
    [
        ("ochat_templates", set[str]()),
        ("ochat_data", {"numpy", "pyarrow"}),
        ("ochat_train", set[str]()),
        ("ochat_serve", set[str]()),
        ("ochat_eval", set[str]()),
    ],
)
def test_importing_a_package_loads_no_heavy_library(package: str, may_load: set[str]) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=UNMEASURED
    ).stdout.split()
    assert not HEAVY.intersection(loaded) - may_load


@pytest.mark.parametrize(
    "command", ["ochat-templates", "ochat-data", "ochat-train", "ochat-serve", "ochat-eval"]
)
def test_help_is_instant_and_worth_reading(command: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        [BIN / command, "--help"], capture_output=True, text=True, check=True, env=UNMEASURED
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < HELP_BUDGET_SECONDS
    assert len(result.stdout.split()) > 30


@pytest.mark.parametrize("package", ["templates", "data", "train", "serve", "eval"])
def test_the_version_is_printed_where_a_script_reads_it(package: str) -> None:
    result = subprocess.run(
        [BIN / f"ochat-{package}", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"ochat-{package} {version(f'ochat-{package}')}\n"
    assert result.stderr == ""
