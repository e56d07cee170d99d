"""What a judge said, stored by the content of the question: appended as it comes, read to resume.

A cache shared by several runs is the same file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Self

import orjson

from ochat_eval.backends.base import Reply
from ochat_eval.errors import JudgeError
from ochat_eval.store import read_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One stored reply of a judge.

    Attributes:
        key: Of the call.
        text: What it said; None where it failed.
        error: Why it failed.
        passing: Whether asking again may help.
        finish_reason: As the server gave it.
        first_token: Log probabilities of the first token's alternatives, where given.
        prompt_tokens: As the server counts them.
        completion_tokens: As the server counts them.
        time: When, in seconds since 1970.
    """

    key: str
    text: str | None
    error: str | None = None
    passing: bool = False
    finish_reason: str | None = None
    first_token: Mapping[str, float] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    time: float = 0.0

    @classmethod
    def of(cls, key: str, reply: Reply) -> Said:
        """A reply that came now."""
        return cls(
            key=key,
            text=reply.text,
            error=reply.error,
            passing=reply.passing,
            finish_reason=reply.finish_reason,
            first_token=reply.first_token,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            time=round(time.time(), 3),
        )


class Journal:
    """A file of replies; open it with `with` to append."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a torn last line, left by a killed process, is none.

        Raises:
            JudgeError: The file is of another kind.
        """
        self._path = path
        rows = read_lines(path) if path.exists() else []
        try:
            found = [Said(**row) for row in rows]
        except TypeError as error:
            raise JudgeError(f"{path} is no file of judgements: give another folder") from error
        self._said = {said.key: said for said in found}
        self._file: BufferedWriter | None = None

    def get(self, key: str) -> Said | None:
        """The reply to this call, if there is one that need not be asked for again."""
        said = self._said.get(key)
        return None if said is None or said.passing else said

    def __enter__(self) -> Self:
        """Open for appending, after cutting off a torn last line."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists():
                whole = self._path.read_bytes().rpartition(b"\n")
                os.truncate(self._path, len(whole[0]) + len(whole[1]))
            self._file = self._path.open("ab")
        except OSError as error:
            raise JudgeError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def add(self, said: Said) -> None:
        """Store a reply; it survives the death of this process."""
        if self._file is None:
            raise RuntimeError("open the journal with `with` before adding")
        self._said[said.key] = said
        self._file.write(orjson.dumps(said) + b"\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
