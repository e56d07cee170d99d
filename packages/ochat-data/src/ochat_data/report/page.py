"""Lays the figures of a dataset out as one HTML page, styles and charts within it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from .charts import bar_chart

if TYPE_CHECKING:
    from ochat_data.manifest import StageInfo, Totals

    from .figures import DatasetFigures, Histogram, Sample

_STYLE = """
:root { color-scheme: light dark; --bar: #3b7dd8; --learnt: #2e9e5b33; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; opacity: .75; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg rect { fill: var(--bar); }
svg text { font-size: 11px; text-anchor: middle; fill: currentColor; }
svg text.top { text-anchor: start; } svg text.what { opacity: .75; }
.tokens { font: 13px/1.9 ui-monospace, monospace; white-space: pre-wrap; word-break: break-word; }
.tokens span { border-right: 1px solid var(--line); } .tokens .learnt { background: var(--learnt); }
.wide { overflow-x: auto; margin: 1rem 0; } .note { opacity: .75; }
"""


def render_page(figures: DatasetFigures, title: str) -> str:
    """The page as HTML."""
    body = "\n".join(_sections(figures, title))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
        "</body></html>\n"
    )


def _sections(figures: DatasetFigures, title: str) -> Iterator[str]:
    manifest = figures.manifest
    yield f"<h1>{escape(title)}</h1>"
    yield (
        f"<p>Template <b>{escape(manifest.template)}</b>, at most {manifest.context_length:,} "
        f"tokens an example, weights <b>{escape(manifest.weight_preset)}</b>, fingerprint "
        f"<code>{escape(manifest.fingerprint.digest[:16])}</code>.</p>"
    )
    yield "<h2>Examples by condition</h2>"
    yield _conditions(figures)
    yield "<h2>Lengths</h2>"
    names = ("smallest", "median", "mean", "95th percentile", "greatest")
    pairs = zip(names, figures.length_quantiles, strict=True)
    listed = ", ".join(f"{name} {value:,.0f}" for name, value in pairs)
    yield f"<p>Tokens an example: {listed}.</p>"
    yield _histogram(figures.lengths, "tokens an example")
    yield "<h2>Turns</h2>"
    labels = [*(str(turns) for turns in range(10)), "10+"]
    yield bar_chart(labels, figures.turns.counts, "trained turns an example")
    yield "<h2>Languages</h2>"
    yield _languages(figures)
    yield "<h2>Truncation</h2>"
    cut = manifest.truncation
    yield (
        f"<p>Policy <b>{escape(cut.policy)}</b>: {cut.cut:,} conversations cut, {cut.split:,} "
        f"split, {cut.dropped:,} dropped, {cut.lost_tokens:,} tokens lost; "
        f"{manifest.nothing_to_learn:,} left out because nothing in them has a weight.</p>"
    )
    yield "<h2>From the sources to here</h2>"
    yield from _origins(figures)
    yield "<h2>How it packs</h2>"
    yield _packing(figures)
    yield "<h2>Samples</h2>"
    yield '<p class="note">Marked tokens are learnt; rest on one to see its id and weight.</p>'
    yield from map(_sample, figures.samples)


def _conditions(figures: DatasetFigures) -> str:
    rows: list[list[str]] = []
    for name, split in figures.manifest.splits.items():
        for condition, totals in (*split.conditions.items(), ("all", split.totals)):
            if totals.examples:
                rows.append([f"{name}: {condition or '(none)'}", *_totals(totals)])
    head = ("split and condition", "examples", "tokens", "supervised", "share", "loss weight")
    return _table(head, rows)


def _totals(totals: Totals) -> list[str]:
    share = totals.supervised_tokens / max(1, totals.tokens)
    return [
        f"{totals.examples:,}",
        f"{totals.tokens:,}",
        f"{totals.supervised_tokens:,}",
        f"{share:.1%}",
        f"{totals.loss_weight:,.1f}",
    ]


def _histogram(histogram: Histogram, what: str) -> str:
    pairs = zip(histogram.edges, histogram.edges[1:], strict=False)
    labels = [f"{low:,}" if high == low + 1 else f"{low:,}-{high - 1:,}" for low, high in pairs]
    ticks = [f"{low:,}" for low in histogram.edges[:-1]]
    return bar_chart(labels, histogram.counts, f"{what}, from", ticks)


def _languages(figures: DatasetFigures) -> str:
    if figures.languages is None:
        return (
            '<p class="note">Not measured: give --tokenizer, and install '
            "<code>ochat-data[lang]</code>.</p>"
        )
    total = figures.languages.total()
    rows = [
        [language, f"{count:,}", f"{count / total:.1%}"]
        for language, count in figures.languages.most_common(12)
    ]
    return _table(("language", f"of {total:,} sampled examples", "share"), rows)


def _origins(figures: DatasetFigures) -> Iterator[str]:
    sources = figures.manifest.sources
    rows = [[each.name, f"{each.records:,}", each.sha256[:12]] for each in sources]
    if rows:
        yield _table(("source", "records", "SHA-256"), rows)
    stages = figures.manifest.stages
    if stages:
        head = ("step", "read", "used", "made", "rejected", "dropped", "mended")
        yield _table(head, map(_stage, stages))


def _stage(stage: StageInfo) -> list[str]:
    numbers = (stage.read, stage.used, stage.written, stage.rejected)
    listed = (
        ", ".join(f"{reason} {count:,}" for reason, count in counts.items()) or "0"
        for counts in (stage.dropped, stage.repairs)
    )
    return [stage.name, *(f"{number:,}" for number in numbers), *listed]


def _packing(figures: DatasetFigures) -> str:
    rows: list[list[str]] = []
    for capacity, ranks, figure in figures.packing:
        ratios = (figure.fill, figure.last_step_fill)
        shares = ["-" if ratio is None else f"{ratio:.2%}" for ratio in ratios]
        cost = "-" if figure.cost_imbalance is None else f"{figure.cost_imbalance:.3f}"
        rows.append([f"{capacity:,}", f"{ranks}", f"{figure.steps:,}", shares[0], cost, shares[1]])
    return _table(
        ("tokens a rank", "ranks", "steps an epoch", "fill", "cost imbalance", "last step"), rows
    )


def _sample(sample: Sample) -> str:
    spans = "".join(
        f'<span class="{"learnt" if token.weight else ""}" '
        f'title="{token.id}, weight {token.weight:g}">{escape(token.text)}</span>'
        for token in sample.tokens
    )
    more = " ..." if sample.length > len(sample.tokens) else ""
    return (
        f"<h3>{escape(sample.condition or '(no condition)')}, {sample.length:,} tokens, "
        f"<code>{escape(sample.id)}</code></h3>"
        f'<div class="tokens">{spans}{more}</div>'
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{heads}</tr>{body}</table></div>'
