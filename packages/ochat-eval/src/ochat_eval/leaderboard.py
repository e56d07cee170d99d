"""The seed's table, from run folders, judged folders and published results: rows, then text.

Own rows are marked; a cell is empty where nothing measured it.
"""

from __future__ import annotations

import csv
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ochat_eval.errors import JudgeError
from ochat_eval.preferences.annotations import read_rows
from ochat_eval.store import read_json

ALPACA, ADJUSTED, SCORE = (
    "AlpacaEval (win rate %)",
    "MT-bench (win rate adjusted %)",
    "MT-bench (score)",
)
ABOUT = ("Model", "Size", "Context", "Free")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure with its 95 % interval, and whether a scripted judge made it."""

    value: float
    interval: tuple[float, float] | None = None
    scripted: bool = False

    def text(self, *, digits: int, intervals: bool) -> str:
        """As it stands in the table."""
        shown = f"{self.value:.{digits}f}" + ("†" if self.scripted else "")
        if not intervals or self.interval is None:
            return shown
        low, high = self.interval
        return f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"


@dataclass(slots=True, kw_only=True)
class Row:
    """One model: what is known about it, its figures by column, and whether it is ours."""

    model: str
    own: bool
    about: dict[str, str] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)


def collect(
    folders: Iterable[Path], published: Iterable[Path], models: Mapping[str, Mapping[str, Any]]
) -> list[Row]:
    """Rows by model: published ones first as they come, then ours.

    Args:
        folders: Run folders and judged folders.
        published: alpaca_eval's leaderboard CSV, or JSON rows {"model", "size", "context",
            "free", "alpaca_eval", "mt_bench_adjusted", "mt_bench_score"}.
        models: By name: "name" to show, "size", "context", "free".

    Raises:
        JudgeError: A file holds no results.
    """
    rows: dict[tuple[str, bool], Row] = {}

    def row_of(model: str, *, own: bool) -> Row:
        about = models.get(model, {})
        known = {key: str(about[key]) for key in ("size", "context", "free") if key in about}
        name = str(about.get("name", model))
        row = rows.setdefault((name, own), Row(model=name, own=own))
        row.about |= known
        return row

    for path in published:
        for name, about, cells in _published(path):
            row = row_of(name, own=False)
            row.about |= about
            row.cells |= cells
    for folder in folders:
        name, cells = _measured(folder)
        row_of(name, own=True).cells.update(cells)
    return list(rows.values())


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The seed's three columns, and what else was measured."""
    further = dict.fromkeys(name for row in rows for name in row.cells)
    return [ALPACA, ADJUSTED, SCORE, *(name for name in further if name not in _SEED)]


_SEED = (ALPACA, ADJUSTED, SCORE)


def as_markdown(rows: Sequence[Row], *, intervals: bool) -> str:
    """The table in Markdown; own rows bold."""
    columns = columns_of(rows)
    lines = [[f"**{name}**" for name in (*ABOUT, *columns)], ["---"] * (len(ABOUT) + len(columns))]
    for row in rows:
        cells = [text.replace("|", "\\|") for text in _texts(row, columns, intervals=intervals)]
        lines.append([f"**{text}**" if text and row.own else text for text in cells])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_note(rows)}"


def as_json(rows: Sequence[Row]) -> dict[str, object]:
    """The table as plain JSON values."""
    told = [
        {
            "model": row.model,
            "own": row.own,
            **row.about,
            "figures": {
                name: {
                    "value": cell.value,
                    "interval": list(cell.interval) if cell.interval else None,
                    "scripted": cell.scripted,
                }
                for name, cell in row.cells.items()
            },
        }
        for row in rows
    ]
    return {"schema_version": 1, "columns": columns_of(rows), "rows": told}


def as_page(rows: Sequence[Row], *, intervals: bool) -> str:
    """One HTML page with the table, for publishing: no script, nothing from elsewhere."""
    columns = columns_of(rows)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*ABOUT, *columns))
    body = "".join(
        f"<tr{' class=own' if row.own else ''}>"
        + "".join(f"<td>{html.escape(t)}</td>" for t in _texts(row, columns, intervals=intervals))
        + "</tr>\n"
        for row in rows
    )
    return _PAGE.format(head=head, body=body, note=html.escape(_note(rows)))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark; }} body {{ font: 16px/1.5 system-ui, sans-serif;
margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }} table {{ border-collapse: collapse;
width: 100%; }} th, td {{ padding: .4rem .7rem; border-bottom: 1px solid #8886;
text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }} .own {{ font-weight: 700;
background: #8882; }}</style></head>
<body><h1>Leaderboard</h1><table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table><p>{note}</p></body></html>
"""


def _texts(row: Row, columns: Sequence[str], *, intervals: bool) -> list[str]:
    cells = [
        row.cells[name].text(digits=2 if name == SCORE else 1, intervals=intervals)
        if name in row.cells
        else ""
        for name in columns
    ]
    return [row.model, *(row.about.get(key, "") for key in ("size", "context", "free")), *cells]


def _note(rows: Sequence[Row]) -> str:
    note = "Own rows are bold; the others are published results."
    if any(cell.scripted for row in rows for cell in row.cells.values()):
        note += " †: judged by a fixed rule instead of a model, which says nothing about a model."
    return note


def _measured(folder: Path) -> tuple[str, dict[str, Cell]]:
    """The model's name and figures of a judged folder, or of a run folder."""
    summary: Mapping[str, Any] = read_json(
        folder / "summary.json", "give a folder of `ochat-eval run` or `ochat-eval judge`"
    )
    if summary.get("kind") != "judge":
        config, overall = summary["config"], summary["overall"]
        name = str(config["model"]) + (f" ({config['condition']})" if config["condition"] else "")
        cells: dict[str, Cell] = {}
        for task, figures in (
            summary.get("tasks") or {str(summary["suite"]["name"]): overall}
        ).items():
            if figures["accuracy"] is not None:
                low, high = figures["interval"]
                label = f"{Path(task).stem} (%)"
                cells[label] = Cell(
                    value=100 * figures["accuracy"], interval=(100 * low, 100 * high)
                )
        return name, cells
    scripted = bool(summary["scripted"])
    if summary["bench"] == "alpaca_eval":
        low, high = summary["win_rate_interval"]
        cell = Cell(value=summary["win_rate"], interval=(low, high), scripted=scripted)
        return str(summary["model"]), {ALPACA: cell}
    found = {
        SCORE: (summary.get("single") or {}).get("score"),
        ADJUSTED: (summary.get("pairwise") or {}).get("win_rate_adjusted"),
    }
    return str(summary["model"]), {
        name: Cell(
            value=told["mean"],
            interval=tuple(told["interval"]) if told["interval"] else None,
            scripted=scripted,
        )
        for name, told in found.items()
        if told
    }


def _published(path: Path) -> list[tuple[str, dict[str, str], dict[str, Cell]]]:
    if path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                table = list(csv.DictReader(lines))
            return [(row[""], {}, {ALPACA: _csv_cell(row)}) for row in table]
        except (OSError, KeyError, ValueError) as error:
            raise JudgeError(f"{path} is no leaderboard of alpaca_eval: {error}") from error
    names = {"alpaca_eval": ALPACA, "mt_bench_adjusted": ADJUSTED, "mt_bench_score": SCORE}
    found: list[tuple[str, dict[str, str], dict[str, Cell]]] = []
    for number, row in enumerate(read_rows(path), start=1):
        if "model" not in row:
            raise JudgeError(f"{path}, row {number}: a published result needs a field 'model'")
        cells = {
            column: Cell(value=float(row[name]))
            for name, column in names.items()
            if isinstance(row.get(name), int | float)
        }
        about = {key: str(row[key]) for key in ("size", "context", "free") if row.get(key)}
        found.append((str(row["model"]), about, cells))
    return found


def _csv_cell(row: Mapping[str, str]) -> Cell:
    value, error = float(row["win_rate"]), float(row["standard_error"])
    return Cell(value=value, interval=(value - 1.96 * error, value + 1.96 * error))
