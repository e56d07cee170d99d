"""Counters and histograms of the server, in Prometheus' text format.

Counts what it is told; when that happens is the callers' business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_PREFIX = "ochat_serve_"


class Histogram:
    """How often a duration fell into which range."""

    def __init__(self) -> None:
        """Begin empty."""
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str) -> list[str]:
        """The samples: cumulative counts, sum and count."""
        total = 0
        rows: list[str] = []
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self._counts, strict=True):
            total += count
            rows.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*rows, f"{name}_sum {self._sum!r}", f"{name}_count {total}"]


class Metrics:
    """Everything the server counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._requests: Counter[tuple[str, int, str]] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._first_token = Histogram()
        self._per_token = Histogram()
        self._seconds = Histogram()
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a value that is read when it is asked for."""
        self._gauges[name] = (text, read)

    def request(self, path: str, status: int, key: str) -> None:
        """Count an answered request."""
        self._requests[path, status, key] += 1

    def generation(
        self,
        *,
        key: str,
        outcomes: str,
        prompt_tokens: int,
        completion_tokens: int,
        first_token_seconds: float | None,
        seconds: float,
    ) -> None:
        """Count a request that reached the engine."""
        for outcome in outcomes.split(","):
            self._outcomes[outcome] += 1
        self._tokens["prompt", key] += prompt_tokens
        self._tokens["completion", key] += completion_tokens
        self._seconds.observe(seconds)
        if first_token_seconds is not None:
            self._first_token.observe(first_token_seconds)
            if completion_tokens > 1:
                self._per_token.observe((seconds - first_token_seconds) / (completion_tokens - 1))

    def render(self) -> str:
        """The page that Prometheus reads."""
        rows: list[str] = []
        for name, (text, read) in self._gauges.items():
            rows += [*_head(name, text, "gauge"), f"{_PREFIX}{name} {read():g}"]
        rows += _head("requests_total", "Requests answered.", "counter")
        rows += [
            _sample("requests_total", {"path": path, "status": str(status), "key": key}, count)
            for (path, status, key), count in sorted(self._requests.items())
        ]
        rows += _head("answers_total", "Answers by how they ended.", "counter")
        rows += [
            _sample("answers_total", {"outcome": outcome}, count)
            for outcome, count in sorted(self._outcomes.items())
        ]
        rows += _head("tokens_total", "Tokens read and generated.", "counter")
        rows += [
            _sample("tokens_total", {"kind": kind, "key": key}, count)
            for (kind, key), count in sorted(self._tokens.items())
        ]
        for name, text, histogram in (
            ("first_token_seconds", "From the request to its first token.", self._first_token),
            ("per_token_seconds", "Between tokens of one request, on average.", self._per_token),
            ("request_seconds", "From the request to the end of its answer.", self._seconds),
        ):
            rows += [*_head(name, text, "histogram"), *histogram.lines(_PREFIX + name)]
        return "\n".join(rows) + "\n"


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} {kind}"]


def _sample(name: str, labels: Mapping[str, str], value: int) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{_PREFIX}{name}{{{shown}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
