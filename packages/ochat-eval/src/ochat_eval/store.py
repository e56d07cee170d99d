"""The run folder: manifest, questions, responses appended as they arrive, verdicts and summary.

`run.json` and `questions.jsonl` are written first, `responses.jsonl` grows by one line a question,
`verdicts.jsonl` and `summary.json` are derived from them at any time. Nothing here asks or grades.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, Self

import orjson

from ochat_eval.errors import RunFolderError
from ochat_eval.question import Question

SCHEMA_VERSION = 1
_SYNC_SECONDS = 1.0
_REMEDY = "use the same options again, or another --output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the server said to one question.

    Attributes:
        key: `Question.key`.
        id: `Question.id`, for people who read the file.
        text: The answer; None where there is none.
        finish_reason: The server's, for example `stop` or `length`.
        error: Why there is no answer: a status and the server's message, or a transport failure.
        passing: Whether the failure may pass, so that a resumed run asks again.
        attempts: How often the question was sent.
        seconds: From the first attempt to the last byte.
        prompt_tokens: As the server counts them.
        completion_tokens: As the server counts them.
        reasoning: What a server that separates it gave as reasoning.
        fitted: Whether the limit of tokens was left out, because it did not fit the context.
    """

    key: str
    id: str
    text: str | None
    finish_reason: str | None = None
    error: str | None = None
    passing: bool = False
    attempts: int = 1
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning: str | None = None
    fitted: bool = False


class RunFolder:
    """One run on disk; open a new or a stopped one with `prepare`, a finished one with `open`."""

    def __init__(self, path: Path, manifest: Mapping[str, object]) -> None:
        """Name the folder; `prepare` and `open` are the ways to get here."""
        self.path = path
        self.manifest = manifest
        self._file: BufferedWriter | None = None
        self._synced = 0.0

    @classmethod
    def prepare(
        cls, path: Path, manifest: Mapping[str, object], questions: Sequence[Question]
    ) -> Self:
        """Make the folder, or take up the run that is in it.

        Raises:
            RunFolderError: The folder holds something else, or a run with another configuration.
        """
        if (path / "run.json").exists():
            folder = cls.open(path)
            _require_same(path, folder.manifest, manifest)
            return folder
        try:
            path.mkdir(parents=True, exist_ok=True)
            # What was left by a start that was killed before its manifest is ours.
            if any(entry.name not in _OWN_BEGINNINGS for entry in path.iterdir()):
                raise RunFolderError(f"{path} is not empty and holds no run: give another --output")
            write_lines(path / "questions.jsonl", (question.to_json() for question in questions))
            write_json(path / "run.json", manifest)
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {path}: {error.strerror}; give another --output"
            ) from error
        return cls(path, manifest)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run folder.

        Raises:
            RunFolderError: No manifest there, or one of another version of the layout.
        """
        manifest = read_json(path / "run.json", "give a folder that `ochat-eval run` wrote")
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise RunFolderError(
                f"{path / 'run.json'} has layout version {manifest.get('schema_version')!r}, this "
                f"version reads {SCHEMA_VERSION}: run the evaluation again"
            )
        return cls(path, manifest)

    def questions(self) -> list[Question]:
        """The questions of the run, in order."""
        lines = read_lines(self.path / "questions.jsonl")
        return [Question.from_json(row) for row in lines]

    def responses(self) -> dict[str, Response]:
        """The stored response of every key; the last where a question was asked again.

        A torn last line, left by a process that was killed while writing, is ignored.
        """
        rows = read_lines(path) if (path := self.path / "responses.jsonl").exists() else []
        try:
            found = [Response(**row) for row in rows]
        except TypeError as error:
            raise RunFolderError(
                f"{self.path / 'responses.jsonl'} has another layout: give another --output"
            ) from error
        return {response.key: response for response in found}

    def __enter__(self) -> Self:
        """Open the responses for appending, after cutting off a torn last line."""
        path = self.path / "responses.jsonl"
        try:
            if path.exists():
                whole = path.read_bytes().rpartition(b"\n")
                os.truncate(path, len(whole[0]) + len(whole[1]))
            self._file = path.open("ab")
        except OSError as error:
            raise RunFolderError(
                f"cannot write {path}: {error.strerror}; check its rights"
            ) from error
        return self

    def append(self, response: Response) -> None:
        """Write one response; it survives the death of this process, and soon of the machine."""
        if self._file is None:
            raise RuntimeError("open the folder with `with` before appending")
        self._file.write(orjson.dumps(response) + b"\n")
        self._file.flush()
        now = time.monotonic()
        if now - self._synced >= _SYNC_SECONDS:
            self._synced = now
            os.fsync(self._file.fileno())

    def __exit__(self, *_: object) -> None:
        """Close the responses and have them on the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


_OWN_BEGINNINGS = frozenset({"questions.jsonl", "questions.jsonl.tmp", "run.json.tmp"})


def read_json(path: Path, remedy: str) -> Mapping[str, object]:
    """A JSON object from a file, or one sentence that ends with the remedy."""
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    except orjson.JSONDecodeError as error:
        raise RunFolderError(f"{path} is not valid JSON; {remedy}") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} holds no JSON object; {remedy}")
    return value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of a run folder; a torn last line is not one of them.

    Raises:
        RunFolderError: The file cannot be read, or a line in it is no JSON.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RunFolderError(
            f"cannot read {path}: {error.strerror}; give a folder that `ochat-eval run` wrote"
        ) from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise RunFolderError(
                f"{path}, line {number}: not valid JSON; delete the line to have it made again"
            ) from error
    return rows


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write a JSON object beside its place and rename it."""
    write_bytes(path, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write JSON lines beside their place and rename the file."""
    write_bytes(path, b"".join(orjson.dumps(row) + b"\n" for row in rows))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    beside.replace(path)


def _require_same(path: Path, old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Refuse to mix two configurations in one folder, naming the first difference."""
    was, now = _flat(old), _flat(new)
    for name, value in now.items():
        if was.get(name) != value:
            raise RunFolderError(
                f"{path} holds a run with {name} {was.get(name)!r}, this one has {value!r}: "
                f"{_REMEDY}"
            )


def _flat(manifest: Mapping[str, object]) -> dict[str, object]:
    config, suite = manifest.get("config"), manifest.get("suite")
    flat = dict(config) if isinstance(config, Mapping) else {}
    digest = suite.get("digest") if isinstance(suite, Mapping) else None
    return flat | {"suite digest": digest}
