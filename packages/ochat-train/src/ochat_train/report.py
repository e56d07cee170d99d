"""A run's figures as one HTML page that needs no network: losses, rates, speed, how it was packed.

Reads `metrics.jsonl` and `run.json` only, so a run that still goes on, or was killed, has a report
too. Curves are drawn in `report_chart`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any

from .errors import DataError, OutputError
from .files import cannot_write
from .report_chart import Line, line_chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Event = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8884;
  --c0: #3b7dd8; --c1: #e0812b; --c2: #2e9e5b; --c3: #b94fc0; --c4: #c8443c; --c5: #7a8794; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg .grid { stroke: var(--line); stroke-width: 1; }
svg text { font-size: 11px; fill: currentColor; opacity: .8; }
svg text.x { text-anchor: middle; } svg text.y { text-anchor: end; }
svg polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
polyline.c0 { stroke: var(--c0); } polyline.c1 { stroke: var(--c1); }
polyline.c2 { stroke: var(--c2); } polyline.c3 { stroke: var(--c3); }
polyline.c4 { stroke: var(--c4); } polyline.c5 { stroke: var(--c5); }
circle.c0, .key.c0::before { fill: var(--c0); background: var(--c0); }
circle.c1, .key.c1::before { fill: var(--c1); background: var(--c1); }
circle.c2, .key.c2::before { fill: var(--c2); background: var(--c2); }
circle.c3, .key.c3::before { fill: var(--c3); background: var(--c3); }
circle.c4, .key.c4::before { fill: var(--c4); background: var(--c4); }
circle.c5, .key.c5::before { fill: var(--c5); background: var(--c5); }
.legend { margin: 0; } .key { margin-right: 1.2rem; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em;
  border-radius: 2px; }
.note { opacity: .75; }
"""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run wrote.

    Attributes:
        settings: its effective settings.
        steps: one event a step, in order.
        evaluations: one event an epoch.
    """

    settings: Mapping[str, Any]
    steps: Sequence[Event]
    evaluations: Sequence[Event]


def write_report(run: Path, output: Path) -> Path:
    """Writes the page of a run's folder.

    Raises:
        DataError: the folder holds no run, or nothing was trained yet.
        OutputError: the page cannot be written.
    """
    page = render_report(read_run(run), run.resolve().name)
    beside = output.with_name(f".{output.name}.partial")
    if output.is_dir():
        raise OutputError(f"{output} is a folder; name a file, such as report.html")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(output)
    except OSError as error:
        raise cannot_write(output, error) from error
    return output


def read_run(run: Path) -> RunFigures:
    """Reads a run's folder; a last line that is being written is passed over.

    Raises:
        DataError: see `write_report`.
    """
    try:
        settings = json.loads((run / "run.json").read_text(encoding="utf-8"))
        lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"run.json: {error}"
        raise DataError(
            f"{run} holds no run ({reason}); give the --output of ochat-train run"
        ) from error
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            events.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DataError(f"{run / 'metrics.jsonl'}, line {number}: {error}") from error
    steps = [event for event in events if event.get("event") == "train"]
    if not steps:
        raise DataError(f"{run} has trained no step yet; its metrics.jsonl holds no figures")
    evaluations = [event for event in events if event.get("event") == "eval"]
    return RunFigures(settings=settings, steps=steps, evaluations=evaluations)


def render_report(figures: RunFigures, title: str) -> str:
    """The page as HTML."""
    body = "\n".join(_sections(figures, title))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
        "</body></html>\n"
    )


def _sections(figures: RunFigures, title: str) -> Iterator[str]:
    steps, evaluations = figures.steps, figures.evaluations
    yield f"<h1>{escape(title)}</h1>"
    yield _summary(figures)
    yield "<h2>Training loss</h2>"
    yield line_chart([_line("loss", steps, "loss")], "training loss")
    yield "<h2>Training loss by condition</h2>"
    yield '<p class="note">Weighted mean negative log-likelihood, in nats a token.</p>'
    yield line_chart(_by_group(steps, "conditions"), "training loss by condition")
    if by_source := _by_group(steps, "sources"):
        yield "<h2>Training loss by source</h2>"
        yield line_chart(by_source, "training loss by source")
    yield "<h2>Held-out loss</h2>"
    if evaluations:
        # Conditions first, so that each has the colour that it has above.
        held_out = _by_group(evaluations, "conditions", dots=True)
        held_out.append(Line("all", _points(evaluations, "loss"), dots=True))
        yield line_chart(held_out, "held-out loss")
        yield _held_out_table(evaluations)
    else:
        yield '<p class="note">Nothing was held out, or no epoch has ended yet.</p>'
    for heading, key in (
        ("Accuracy of the next token", "accuracy"),
        ("Learning rate", "lr"),
        ("Gradient norm before clipping", "grad_norm"),
        ("Tokens a second", "tokens_per_second"),
        ("Supervised tokens a second", "supervised_per_second"),
        ("Model flops utilisation", "mfu"),
        ("Fill of the batches", "fill"),
    ):
        if points := _points(steps, key):
            yield f"<h2>{heading}</h2>"
            yield line_chart([Line(heading, points)], heading)
    yield "<h2>Settings</h2>"
    yield _table(("setting", "value"), [[k, str(v)] for k, v in figures.settings.items()])


def _summary(figures: RunFigures) -> str:
    steps, last = figures.steps, figures.steps[-1]
    tokens = sum(event["tokens"] for event in steps)
    supervised = sum(event["supervised_tokens"] for event in steps)
    # The first readings pay for warming up.
    speeds = [event["tokens_per_second"] for event in steps[len(steps) // 10 :]]
    cells = [
        ["steps", f"{last['step']:,}"],
        ["epochs begun", f"{last['epoch']:,} of {figures.settings.get('epochs', '?')}"],
        ["tokens trained", f"{tokens:,}, {supervised / tokens:.1%} of them supervised"],
        ["mean fill", f"{sum(event['fill'] for event in steps) / len(steps):.2%}"],
        ["median speed", f"{median(speeds):,.0f} tokens/s"],
        ["loss", f"{steps[0]['loss']:.4f} at first, {last['loss']:.4f} at last"],
    ]
    if figures.evaluations:
        cells.append(["held-out loss", f"{figures.evaluations[-1]['loss']:.4f}"])
    return _table(("this run", ""), cells)


def _held_out_table(evaluations: Sequence[Event]) -> str:
    names = sorted({name for event in evaluations for name in event["conditions"]})
    rows: list[list[str]] = []
    for event in evaluations:
        cells = [f"after epoch {event['epoch']}, step {event['step']:,}", _figure(event)]
        cells += [_figure(event["conditions"].get(name)) for name in names]
        rows.append(cells)
    shown = [name or "(no condition)" for name in names]
    return _table(("held-out loss (accuracy)", "all", *shown), rows)


def _figure(figures: Event | None) -> str:
    return "-" if figures is None else f"{figures['loss']:.4f} ({figures['accuracy']:.1%})"


def _by_group(events: Sequence[Event], key: str, *, dots: bool = False) -> list[Line]:
    names = sorted({name for event in events for name in event.get(key, {})})
    return [
        Line(
            name or "(none)",
            [
                (float(event["step"]), float(found["loss"]))
                for event in events
                if (found := event.get(key, {}).get(name))
            ],
            dots,
        )
        for name in names
    ]


def _line(name: str, events: Sequence[Event], key: str) -> Line:
    return Line(name, _points(events, key))


def _points(events: Sequence[Event], key: str) -> list[tuple[float, float]]:
    return [
        (float(event["step"]), float(event[key]))
        for event in events
        if event.get(key) is not None and math.isfinite(event[key])
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{heads}</tr>{body}</table></div>'
