"""Bar charts as inline SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _FOOT, _HEAD = 640, 190, 34, 16


def bar_chart(
    labels: Sequence[str], values: Sequence[float], what: str, ticks: Sequence[str] = ()
) -> str:
    """One bar a label; the label and the exact value show when the pointer rests on it.

    Below the bars stand the ticks, or the labels where there are none.
    """
    highest = max(values, default=0) or 1
    step = _WIDTH / max(1, len(values))
    every = max(1, len(labels) // 12)
    ticks = ticks or labels
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(what)}">',
    ]
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        height = (_HEIGHT - _FOOT - _HEAD) * value / highest
        left, top = index * step, _HEIGHT - _FOOT - height
        parts.append(
            f'<rect x="{left + 1:.1f}" y="{top:.1f}" width="{max(1, step - 2):.1f}" '
            f'height="{height:.1f}"><title>{escape(label)}: {value:,g}</title></rect>'
        )
        if index % every == 0:
            parts.append(
                f'<text x="{left + step / 2:.1f}" y="{_HEIGHT - _FOOT + 16}">'
                f"{escape(ticks[index])}</text>"
            )
    parts.append(f'<text class="top" x="2" y="12">{highest:,g}</text>')
    parts.append(f'<text class="what" x="{_WIDTH / 2}" y="{_HEIGHT - 4}">{escape(what)}</text>')
    return "".join([*parts, "</svg>"])
