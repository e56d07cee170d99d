"""A table of finished runs side by side, and whether their intervals overlap.

Reads `summary.json` only. A paired comparison, which sees smaller differences, is not made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ochat_eval.errors import RunFolderError
from ochat_eval.store import read_json
from ochat_eval.table import lines_of
from ochat_eval.tally import Tally

_HEADER = ("run", "n", "accuracy", "95 % interval", "unparsed", "truncated", "errors")
_COUNTS = ("correct", "incorrect", "unparsed", "truncated", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run in the table: its label (condition / model), its suite's digest and its counts."""

    label: str
    path: Path
    digest: str
    tally: Tally


def read_run(path: Path) -> RunLine:
    """The line of one run folder.

    Raises:
        RunFolderError: No summary there yet, or one that is corrupt.
    """
    remedy = "finish the run, or write it with `ochat-eval rescore`"
    summary = read_json(path / "summary.json", remedy)
    config, suite, overall = (
        _mapping(summary, path, key) for key in ("config", "suite", "overall")
    )
    counts = {key.removesuffix("s"): overall.get(key) for key in _COUNTS}
    whole = {key: count for key, count in counts.items() if isinstance(count, int)}
    if len(whole) != len(counts):
        raise RunFolderError(f"{path / 'summary.json'} lacks counts; {remedy}")
    return RunLine(
        label=f"{config.get('condition') or 'default condition'} / {config.get('model')}",
        path=path,
        digest=str(suite.get("digest")),
        tally=Tally(**whole),
    )


def profile_lines(path: Path, summary: Mapping[str, object]) -> list[RunLine]:
    """A line for every older grader that graded the same responses."""
    profiles = summary.get("profiles")
    lines: list[RunLine] = []
    for name, figures in (profiles if isinstance(profiles, Mapping) else {}).items():
        counts = {key.removesuffix("s"): figures["overall"][key] for key in _COUNTS}
        lines.append(RunLine(label=f"  as {name}", path=path, digest="", tally=Tally(**counts)))
    return lines


def table(runs: Sequence[RunLine]) -> str:
    """The runs as a table of plain text, one a line, in the order given."""
    rows = [_HEADER, *(_cells(run) for run in runs)]
    return "\n".join(lines_of(rows))


def markdown(runs: Sequence[RunLine]) -> str:
    """The same table in Markdown."""
    rows = [_HEADER, ("---",) * len(_HEADER), *(_cells(run) for run in runs)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    )


def comparisons(runs: Sequence[RunLine]) -> list[dict[str, object]]:
    """The first run against each other: both labels, gap, whether the intervals overlap."""
    return [
        {
            "first": runs[0].label,
            "second": other.label,
            "same_questions": runs[0].digest == other.digest,
            "difference": _difference(runs[0].tally, other.tally),
            "intervals_overlap": overlap(runs[0].tally.interval, other.tally.interval),
        }
        for other in runs[1:]
    ]


def sentence(comparison: Mapping[str, object]) -> str:
    """A comparison in words."""
    pair = f"{comparison['first']} and {comparison['second']}"
    if not comparison["same_questions"]:
        return f"NOT COMPARABLE: {pair} were asked different questions."
    difference = comparison["difference"]
    if not isinstance(difference, float):
        return f"NO COMPARISON: {pair} do not both have graded responses."
    gap = f"{abs(difference) * 100:.1f} points"
    if comparison["intervals_overlap"]:
        return f"The 95 % intervals of {pair} OVERLAP: a gap of {gap} may be chance."
    better = comparison["first" if difference > 0 else "second"]
    return f"The 95 % intervals of {pair} DO NOT OVERLAP: {better} is better by {gap}."


def overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two intervals share a point."""
    return first[0] <= second[1] and second[0] <= first[1]


def to_json(runs: Sequence[RunLine]) -> dict[str, object]:
    """The table and the comparisons as plain JSON values."""
    lines = [{"run": run.label, "path": str(run.path), **run.tally.to_json()} for run in runs]
    return {"runs": lines, "comparisons": comparisons(runs)}


def _cells(run: RunLine) -> tuple[str, ...]:
    tally, (low, high) = run.tally, run.tally.interval
    accuracy = "-" if tally.accuracy is None else f"{tally.accuracy * 100:.1f} %"
    counts = (tally.unparsed, tally.truncated, tally.error)
    interval = f"{low * 100:.1f} to {high * 100:.1f} %"
    return (run.label, str(tally.n), accuracy, interval, *map(str, counts))


def _difference(first: Tally, second: Tally) -> float | None:
    if first.accuracy is None or second.accuracy is None:
        return None
    return first.accuracy - second.accuracy


def _mapping(summary: Mapping[str, object], path: Path, key: str) -> Mapping[str, object]:
    value = summary.get(key)
    if not isinstance(value, Mapping):
        raise RunFolderError(
            f"{path / 'summary.json'} lacks {key!r}: write it again with `ochat-eval rescore`"
        )
    return value
