"""The usual figures of a load, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from statistics import fmean, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.bench.load import Load, Sample

_PERCENTS = (50, 90, 95, 99)


def summary(load: Load, samples: Sequence[Sample]) -> dict[str, Any]:
    """All figures; times in milliseconds, rates a second."""
    good = [sample for sample in samples if not sample.error]
    begun = min((sample.started for sample in samples), default=0.0)
    seconds = max((sample.ended for sample in samples), default=0.0) - begun
    tokens = sum(sample.tokens for sample in good)
    return {
        "model": load.model,
        "concurrency": load.concurrency,
        "requests": len(samples),
        "failed": len(samples) - len(good),
        "errors": dict(Counter(sample.error for sample in samples if sample.error)),
        "seconds": round(seconds, 4),
        "prompt_tokens": sum(sample.prompt_tokens for sample in good),
        "output_tokens": tokens,
        "requests_per_second": _rate(len(good), seconds),
        "output_tokens_per_second": _rate(tokens, seconds),
        "ttft_ms": _spread([s.chunks[0] - s.started for s in good if s.chunks]),
        "itl_ms": _spread(
            [
                (s.chunks[-1] - s.chunks[0]) / (s.tokens - 1)
                for s in good
                if s.tokens > 1 and s.chunks
            ]
        ),
        "chunk_gap_ms": _spread([b - a for s in good for a, b in pairwise(s.chunks)]),
        "latency_ms": _spread([s.ended - s.started for s in good]),
    }


def _rate(amount: int, seconds: float) -> float:
    return round(amount / seconds, 3) if seconds > 0 else 0.0


def _spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Mean, percentiles and largest in milliseconds; None where nothing was measured."""
    if not seconds:
        return None
    values = sorted(1000 * value for value in seconds)
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    named = {f"p{percent}": round(cuts[percent - 1], 3) for percent in _PERCENTS}
    return {"mean": round(fmean(values), 3), **named, "max": round(values[-1], 3)}


def table(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    rows = [
        ("requests", f"{figures['requests']} ({figures['failed']} failed)"),
        ("at the same time", f"{figures['concurrency']}"),
        ("seconds", f"{figures['seconds']:.2f}"),
        ("requests/s", f"{figures['requests_per_second']:.2f}"),
        ("output tokens/s", f"{figures['output_tokens_per_second']:.1f}"),
        ("output tokens", f"{figures['output_tokens']}"),
        ("prompt tokens", f"{figures['prompt_tokens']}"),
    ]
    lines = [f"{name:<26}{value:>14}" for name, value in rows]
    columns = ("mean", *(f"p{percent}" for percent in _PERCENTS), "max")
    lines += ["", f"{'milliseconds':<26}" + "".join(f"{column:>10}" for column in columns)]
    for name, text in (
        ("ttft_ms", "time to first token"),
        ("itl_ms", "per token after it"),
        ("chunk_gap_ms", "between chunks"),
        ("latency_ms", "whole request"),
    ):
        spread = figures[name]
        shown = ["-"] * len(columns) if spread is None else [f"{spread[c]:.1f}" for c in columns]
        lines.append(f"{text:<26}" + "".join(f"{value:>10}" for value in shown))
    lines += [f"failed {count} times: {text}" for text, count in figures["errors"].items()]
    return "\n".join(lines)
