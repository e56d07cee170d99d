"""A newcomer with nothing but Python gets through every README, in environments made of wheels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from closures import BROUGHT, FORBIDDEN, FORBIDDEN_IN_BASE
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["top", *BROUGHT])
def test_a_newcomer_gets_through(page: str, tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    work = tmp_path / "work"
    result = subprocess.run(
        [sys.executable, ROOT / "tools/newcomer.py", "--work", work, page],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    if page == "top":
        assert not (work / "home/.local").exists()
        return
    # Before the README's own blocks installed what they show.
    listed = (work / f"{page}.txt").read_text(encoding="utf-8").splitlines()
    held = {canonicalize_name(line.partition("==")[0]) for line in listed}
    assert BROUGHT[page] <= held
    assert not held & (FORBIDDEN[page] | FORBIDDEN_IN_BASE[page])


def test_an_unknown_page_is_named(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools/newcomer.py", "--work", tmp_path / "work", "ochat-tea"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "no ochat-tea; choose of top, ochat-templates" in result.stderr
