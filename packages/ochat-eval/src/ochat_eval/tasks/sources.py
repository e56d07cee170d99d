"""Where the items of a task are: the original's folders, local JSONL, or a data set of a hub.

Rows only; making questions of them is `items`' business. The library `datasets` is imported when a
hub is asked, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from ochat_eval.errors import QuestionError
from ochat_eval.question import Question
from ochat_eval.suite import read_questions
from ochat_eval.tasks.items import questions_of
from ochat_eval.tasks.spec import HubSource, TaskSpec


def task_questions(
    spec: TaskSpec, *, data: Path | None = None, limit: int | None = None
) -> Iterator[Question]:
    """The questions of a task, from the first of its sources that is there.

    Args:
        spec: The task.
        data: A folder with the original's layout, or with `<task>.jsonl` or `<task>/*.jsonl`.
        limit: Only the first so many of each group.

    Raises:
        QuestionError: No source has the items; says what to do.
    """
    if data is not None and spec.original and (folder := data / spec.original).is_dir():
        for file in sorted(folder.rglob("*.jsonl")):
            yield from _first(_original(spec, file, folder), limit)
        return
    files = _local_files(spec, data)
    if files:
        for file in files:
            group = spec.id if file.stem == spec.id else file.stem
            yield from _first(_local(spec, file, group), limit)
        return
    if spec.hub is None:
        raise QuestionError(
            f"there are no items of the task {spec.id!r}: give a folder that has them by --data"
        )
    for group in spec.hub.groups or (spec.id,):
        yield from _first(_from_hub(spec, spec.hub, group), limit)


def _first(questions: Iterator[Question], limit: int | None) -> Iterator[Question]:
    for count, question in enumerate(questions):
        if count == limit:
            return
        yield question


def _original(spec: TaskSpec, file: Path, folder: Path) -> Iterator[Question]:
    """The original's rows as they are; the task adds its name and limits."""
    defaults = _defaults(spec)
    below = file.relative_to(folder).parent.as_posix()
    prefix = f"{spec.id}/" if below == "." else f"{spec.id}/{below}/"
    yield from read_questions(file, family=spec.family, below=prefix, defaults=defaults)


def _local(spec: TaskSpec, file: Path, group: str) -> Iterator[Question]:
    """Rows in our own layout, or rows that the task's field map reads."""
    rows = list(read_rows(file))
    if rows and "label" in rows[0] and "question" in rows[0] and not spec.fields:
        yield from read_questions(
            file, family=spec.family, below=f"{spec.id}/", defaults=_defaults(spec)
        )
        return
    shots = file.with_name(f"{file.stem}.shots.jsonl")
    examples = list(read_rows(shots)) if spec.shots and shots.is_file() else []
    yield from questions_of(spec, rows, group=group, shots=examples)


def _defaults(spec: TaskSpec) -> dict[str, object]:
    return {
        "task": spec.id,
        "max_tokens": spec.max_tokens,
        "stop": list(spec.stop),
        "gated": spec.gated,
    }


def _local_files(spec: TaskSpec, data: Path | None) -> list[Path]:
    files: list[Path] = []
    if spec.files:
        files = [spec.origin.parent / name for name in spec.files]
    elif data is None:
        return files
    elif (data / spec.id).is_dir():
        files = sorted((data / spec.id).glob("*.jsonl"))
    elif (path := data / f"{spec.id}.jsonl").is_file():
        files = [path]
    return [file for file in files if not file.name.endswith(".shots.jsonl")]


def read_rows(file: Path) -> Iterator[Mapping[str, object]]:
    """The JSON objects of a JSONL file.

    Raises:
        QuestionError: It cannot be read, or a line is no JSON object.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise QuestionError(f"cannot read {file}: {error.strerror}; check the path") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise QuestionError(
                f"{file}, line {number}: not valid JSON ({error}); correct or delete the line"
            ) from error
        if not isinstance(row, dict):
            raise QuestionError(f"{file}, line {number}: expected a JSON object; correct the line")
        yield row


def _from_hub(spec: TaskSpec, hub: HubSource, group: str) -> Iterator[Question]:
    rows = _load(spec, hub, group, hub.split)
    shots = _load(spec, hub, group, spec.shots.split) if spec.shots else iter(())
    yield from questions_of(spec, rows, group=group, shots=shots)


def _load(spec: TaskSpec, hub: HubSource, group: str, split: str) -> Iterator[Mapping[str, object]]:
    if find_spec("datasets") is None:
        raise QuestionError(
            f"the items of {spec.id!r} come from the data set {hub.dataset!r}: install its reader "
            "with pip install 'ochat-eval[hf]', or give a folder that has them by --data"
        )
    import datasets

    name = hub.dataset.replace("{group}", group)
    config = hub.config.replace("{group}", group) if hub.config else None
    try:
        loaded: Any = datasets.load_dataset(name, config, split=split, revision=hub.revision)
    except Exception as error:
        raise QuestionError(
            f"the data set {name!r} ({config or 'default'}, {split}) cannot be loaded "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): check the network "
            "and the licence's terms, or give a folder that has the items by --data"
        ) from error
    for row in loaded:
        yield dict(row)
