"""A run folder as one HTML file that needs no server and no network; gated items are left out.

Layout and behaviour are in `page.html`, `page.css` and `page.js` beside this file.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from ochat_eval.errors import RunFolderError
from ochat_eval.question import Question
from ochat_eval.report import read_run
from ochat_eval.store import Response, RunFolder, read_lines, write_bytes
from ochat_eval.verdict import Status

# Inside a script element only these could end it, or be taken for a line's end.
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def write_page(folder: Path, output: Path, *, reveal: bool = False) -> int:
    """Write the page; gives how many items it redacts.

    Args:
        folder: The run folder, graded.
        output: The HTML file.
        reveal: Show gated items too; only for a page that nobody else sees.

    Raises:
        RunFolderError: The folder is not graded, or the file cannot be written.
    """
    line, run = read_run(folder), RunFolder.open(folder)
    verdicts = {row["key"]: row for row in read_lines(folder / "verdicts.jsonl")}
    responses = run.responses()
    items = [
        _item(question, verdicts[question.key], responses.get(question.key), reveal=reveal)
        for question in run.questions()
        if question.key in verdicts
    ]
    tally = line.tally
    data = {
        "title": line.label,
        "statuses": [status.value for status in Status],
        "figures": tally.to_json(),
        "items": items,
    }
    try:
        write_bytes(output, _page(line.label, data).encode())
    except OSError as error:
        raise RunFolderError(
            f"cannot write {output}: {error.strerror}; give another file"
        ) from error
    return sum(bool(item.get("redacted")) for item in items)


def _item(
    question: Question, verdict: Mapping[str, Any], response: Response | None, *, reveal: bool
) -> dict[str, object]:
    """What the page knows of one question; of a gated one only how it ended."""
    known: dict[str, object] = {
        "id": question.id,
        "group": question.group,
        "status": verdict["status"],
    }
    if question.gated and not reveal:
        return known | {"id": question.key[:12], "rule": verdict["rule"], "redacted": True}
    return known | {
        "rule": verdict["rule"],
        "extracted": verdict["extracted"],
        "label": verdict.get("label"),
        "options": list(question.options),
        "prompt": question.prompt,
        "response": _marked(response.text if response else None, verdict.get("span")),
        "reasoning": response.reasoning if response else None,
        "finish": response.finish_reason if response else None,
        "error": response.error if response else "no answer",
    }


def _marked(text: str | None, span: list[int] | None) -> list[str] | None:
    """The response in three: before, what the rule looked at, and after."""
    if text is None:
        return None
    start, end = span or (len(text), len(text))
    return [text[:start], text[start:end], text[end:]]


def _page(title: str, data: Mapping[str, object]) -> str:
    embedded = orjson.dumps(data).decode()
    for character, escape in _ESCAPES.items():
        embedded = embedded.replace(character, escape)
    parts = {
        "{{title}}": html.escape(title),
        "{{style}}": _part("page.css"),
        "{{script}}": _part("page.js"),
        "{{data}}": embedded,
    }
    before, page = _part("page.html"), ""
    # Each mark once and in order: what was put in is never searched for marks.
    for mark, content in parts.items():
        head, _, before = before.partition(mark)
        page += head + content
    return page + before


def _part(name: str) -> str:
    return (files("ochat_eval.viewer") / name).read_text(encoding="utf-8")
