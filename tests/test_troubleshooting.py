"""Every sentence that the troubleshooting page quotes still stands in the sources."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
OURS, _, OTHERS = PAGE.partition("## Other programs")
QUOTES = re.findall(r"^\| `([^`]+)` \|", OURS, re.MULTILINE)
GAP = "\0"  # what an f-string fills in


def text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
        )
    return None


@cache
def literals() -> str:
    """Every string of the packages' sources, one after another."""
    found: set[str] = set()
    for path in ROOT.glob("packages/*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            written = text(node) if isinstance(node, ast.expr) else None
            if written and len(written) > 20:
                found.add(" ".join(written.split()))
    return "\n".join(sorted(found))


def test_there_is_much_to_look_up() -> None:
    assert len(QUOTES) > 70
    assert len(QUOTES) == len(set(QUOTES))
    assert len(re.findall(r"^\| `", OTHERS, re.MULTILINE)) > 5


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_one_of_ours(quote: str) -> None:
    parts = [re.escape(part) for part in quote.split("…")]
    # A gap may be filled by the code, or stand for a part that the page leaves out.
    assert re.search("[^\n]*".join(parts), literals()), quote
