"""Runs one step over files of records: reads, sets bad ones aside, counts, writes the rest.

What the step does is its own module's business; this keeps the promise that
records in = used + dropped + rejected, and that an output is whole or absent.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InputError, OutputError, RecordError
from .outputs import WholeFile
from .progress import Progress
from .reading import STDIN, RawItem, read_items
from .record import Record
from .record_steps import Dropped, RecordStep
from .rejects import RejectLog

STDOUT = "-"


@dataclass(slots=True, kw_only=True)
class StageCounts:
    """What became of the records of one run."""

    read: int = 0
    used: int = 0
    written: int = 0
    rejected: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


Step = Callable[[RawItem], Sequence[Record] | Dropped]


def parse_item(item: RawItem) -> object:
    """The item's JSON value.

    Raises:
        RecordError: It is not JSON.
    """
    if item.problem:
        raise RecordError(item.problem)
    return item.value


def on_records(step: RecordStep) -> Step:
    """A step on records as a step on the lines that hold them."""

    def on_item(item: RawItem) -> list[Record] | Dropped:
        result = step(Record.from_json(parse_item(item)))
        return result if isinstance(result, Dropped) else [result]

    return on_item


def run_stage(
    stage: str,
    files: Sequence[str],
    output: str,
    step: Step,
    *,
    text: bool = False,
    max_reject_rate: float,
    rejects: str | None = None,
) -> StageCounts:
    """Runs `step` over every item of `files` and writes the records it returns.

    Args:
        stage: Name of the step, for rejects and messages.
        files: Input files; `-` is standard input.
        output: Record file to write; `-` is standard output.
        step: Item to records; raises `RecordError` for a bad one.
        text: Every file is one plain document.
        max_reject_rate: Share of bad items above which the run fails.
        rejects: File for bad items; None means the output's name with `.rejects.jsonl`.

    Raises:
        InputError: A file cannot be read, or no record is left.
        OutputError: The output cannot be written, or the rejects would overwrite a file of the run.
        RejectRateError: Too many items are bad.
    """
    counts, progress = StageCounts(), Progress(stage)
    with reject_log(output, rejects, files) as log, record_output(output) as write:
        for item in read_items(files, text=text):
            counts.read += 1
            try:
                result = step(item)
            except RecordError as error:
                log.add(item, stage, str(error))
                continue
            finally:
                progress.update(counts.read)
            if isinstance(result, Dropped):
                counts.dropped[result.reason] += 1
                continue
            counts.used += 1
            for record in result:
                write(record.to_line())
                counts.written += 1
        counts.rejected = log.count
        log.check(counts.read, max_reject_rate)
        if not counts.written:
            raise InputError(f"no record is left: {describe_counts(counts, log.path)}")
    progress.finish(counts.read)
    report(f"{stage}: {describe_counts(counts, log.path)}")
    return counts


def describe_counts(counts: StageCounts, rejects: Path | None) -> str:
    """The balance of a run: in = out + dropped + rejected."""
    made = "" if counts.written == counts.used else f" ({counts.written} records of them)"
    parts = [f"{counts.read} in = {counts.used} out{made}"]
    parts += [f"{number} dropped ({reason})" for reason, number in counts.dropped.most_common()]
    where = f" (see {rejects})" if counts.rejected and rejects else ""
    parts.append(f"{counts.rejected} rejected{where}")
    return " + ".join(parts)


def reject_log(output: str, given: str | None, inputs: Sequence[str]) -> RejectLog:
    """The log of a run: the file given, else one beside the output; none for standard output.

    Raises:
        OutputError: The log would overwrite an input or the output.
    """
    if given is None and output == STDOUT:
        return RejectLog(None)
    path = Path(f"{output.rstrip('/')}.rejects.jsonl" if given is None else given)
    # A device or a pipe may serve as several things at once.
    if not path.exists() or path.is_file():
        for taken in inputs:
            if taken != STDIN and _same_file(path, Path(taken)):
                raise OutputError(
                    f"the rejects would overwrite the input {taken}; give --rejects another file"
                )
        if output != STDOUT and _same_file(path, Path(output)):
            raise OutputError(
                f"{path} cannot hold both the output and the rejects; give --rejects another file"
            )
        if output != STDOUT and Path(output).resolve() in path.resolve().parents:
            raise OutputError(
                f"the rejects cannot lie within the output {output}; give --rejects another file"
            )
    return RejectLog(path, named=given is not None)


def report(text: str) -> None:
    """Writes a line for people to standard error."""
    sys.stderr.write(f"{text}\n")


def _same_file(one: Path, other: Path) -> bool:
    """Whether two names mean the same file, by whatever links."""
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


@contextmanager
def record_output(output: str) -> Generator[Callable[[bytes], object]]:
    """Yields what writes a line; a file takes its name only if the block ends well."""
    if output == STDOUT:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    with WholeFile(Path(output)) as file:
        yield file.write
