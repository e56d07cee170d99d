"""How Markdown writes a block: code, quotes, list items, tables."""

from __future__ import annotations

import re
from itertools import zip_longest

_TICKS = re.compile(r"`+")


def code_block(code: str, language: str) -> str:
    """A fenced block; the fence is longer than any run of backticks in the code."""
    fence = "`" * max(3, _longest_ticks(code) + 1)
    end = "" if code.endswith("\n") or not code else "\n"
    return f"{fence}{language}\n{code}{end}{fence}"


def rule_of_code(code: str) -> str:
    """Code within a line; as many backticks around it as it takes."""
    ticks = "`" * (_longest_ticks(code) + 1)
    space = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{ticks}{space}{code}{space}{ticks}" if code else ""


def quoted(text: str) -> str:
    """Every line behind the mark of a quotation."""
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))


def with_marker(marker: str, body: str) -> str:
    """A list item: its first line behind the marker, the others below that."""
    first, *rest = body.split("\n")
    indent = " " * len(marker)
    lines = [f"{marker}{first}".rstrip(" ") if not first else f"{marker}{first}"]
    return "\n".join(lines + [f"{indent}{line}" if line else line for line in rest])


def table(rows: list[list[str]]) -> str:
    """A table of which the first row is the head; cells keep their line breaks as `<br>`."""
    rows = [row for row in rows if row]
    if not rows:
        return ""
    width = max(map(len, rows))
    lines = ["| " + " | ".join(_filled(row, width)) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def _filled(row: list[str], width: int) -> list[str]:
    cells = [cell.replace("|", "\\|").replace("\n", "<br>") for cell in row]
    return [cell or "" for cell, _ in zip_longest(cells, range(width), fillvalue="")]


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
