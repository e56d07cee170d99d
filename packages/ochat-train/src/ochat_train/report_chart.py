"""Line charts as inline SVG, readable on light and dark pages and without any script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _FOOT = 64, 12, 12, 34
_TICKS = 4
# More points than pixels say nothing more; each pixel then shows the mean of its points.
_MOST_POINTS = 360


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name, and points of step and value, ordered by step."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def line_chart(lines: Sequence[Line], what: str) -> str:
    """Curves over steps, with a legend where there are several."""
    shown = [line for line in lines if line.points]
    if not shown:
        return '<p class="note">No figures.</p>'
    values = [y for line in shown for _, y in line.points if math.isfinite(y)]
    steps = [x for line in shown for x, _ in line.points]
    low, high = _range(values)
    first, last = min(steps), max(max(steps), min(steps) + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
        down = _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _FOOT)
        return across, down

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(what)}">']
    for number in range(_TICKS + 1):
        value = low + (high - low) * number / _TICKS
        _, y = place(first, value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="y" x="{_LEFT - 6}" y="{y + 4:.1f}">{_number(value)}</text>'
        )
        step = first + (last - first) * number / _TICKS
        x, _ = place(step, low)
        parts.append(f'<text class="x" x="{x:.1f}" y="{_HEIGHT - _FOOT + 16}">{step:,.0f}</text>')
    parts.append(f'<text class="x" x="{_WIDTH / 2}" y="{_HEIGHT - 4}">step</text>')
    for number, line in enumerate(shown):
        parts += _curve(line, number, place)
    legend = "".join(
        f'<span class="key c{number % 6}">{escape(line.name)}</span>'
        for number, line in enumerate(shown)
    )
    return "".join([*parts, "</svg>", f'<p class="legend">{legend}</p>' if len(shown) > 1 else ""])


def _curve(
    line: Line, number: int, place: Callable[[float, float], tuple[float, float]]
) -> list[str]:
    points = [place(x, y) for x, y in _thinned(line.points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [f'<polyline class="c{number % 6}" points="{path}"/>']
    if line.dots or len(points) == 1:
        parts += [
            f'<circle class="c{number % 6}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
            f"<title>{escape(line.name)}, step {step:,.0f}: {value:.4g}</title></circle>"
            for (x, y), (step, value) in zip(points, _thinned(line.points), strict=True)
        ]
    return parts


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    every = max(1, math.ceil(len(finite) / _MOST_POINTS))
    thinned: list[tuple[float, float]] = []
    for start in range(0, len(finite), every):
        part = finite[start : start + every]
        thinned.append((part[-1][0], sum(y for _, y in part) / len(part)))
    return thinned


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    margin = (high - low) * 0.05
    return low - margin, high + margin
