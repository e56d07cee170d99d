"""Holds conversations of several turns with a served model, and keeps each as soon as it is over.

What is kept lies beside the output file as `NAME.partial` until the output is written: a line a
conversation, found again by all that its answers depend on.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import orjson

from ochat_eval.backends.client import ChatClient
from ochat_eval.config import RunConfig
from ochat_eval.errors import JudgeError
from ochat_eval.store import read_lines

_EVERY = 20  # how often the progress is told where nobody watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The user's turns, each sent after the answer to the one before, and the temperature."""

    turns: Sequence[str]
    temperature: float


class Partial:
    """Answers of a run that is not over."""

    def __init__(self, output: Path, config: RunConfig) -> None:
        """Read what an earlier run of the same settings left.

        Raises:
            RunFolderError: A line of it is no JSON.
        """
        self.path = output.with_name(f"{output.name}.partial")
        self._config = config
        rows: list[dict[str, Any]] = []
        if self.path.exists():
            rows = read_lines(self.path)
            # A line that a killed process left torn must not swallow the next one.
            whole = self.path.read_bytes().rpartition(b"\n")
            os.truncate(self.path, len(whole[0]) + len(whole[1]))
        self._found = {str(row["key"]): [str(each) for each in row["answers"]] for row in rows}

    def get(self, conversation: Conversation) -> list[str] | None:
        """The answers, where the conversation was held already."""
        return self._found.get(self._key(conversation))

    def add(self, conversation: Conversation, answers: Sequence[str]) -> None:
        """Keep the answers; they survive the death of this process."""
        line = orjson.dumps({"key": self._key(conversation), "answers": list(answers)}) + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise JudgeError(f"cannot write {self.path}: {error.strerror}") from error

    def forget(self) -> None:
        """Remove the file: the output holds its answers now."""
        self.path.unlink(missing_ok=True)

    def _key(self, conversation: Conversation) -> str:
        config = self._config
        about = [config.model, config.condition, config.system, config.max_tokens]
        told = orjson.dumps([about, list(conversation.turns), conversation.temperature])
        return hashlib.sha256(told).hexdigest()


def converse_all(
    config: RunConfig,
    conversations: Mapping[str, Conversation],
    partial: Partial,
    progress: TextIO | None = None,
) -> dict[str, list[str]]:
    """The answers of every conversation by name; one that failed is missing.

    Raises:
        JudgeError: None was answered; says why. What was answered before is kept.
        ServerError: The server cannot be asked.
    """
    kept = {name: partial.get(each) for name, each in conversations.items()}
    found = {name: answers for name, answers in kept.items() if answers is not None}
    missing = {name: each for name, each in conversations.items() if name not in found}
    if missing:
        asyncio.run(_hold(config, missing, partial, found, progress))
    return found


async def _hold(
    config: RunConfig,
    missing: Mapping[str, Conversation],
    partial: Partial,
    found: dict[str, list[str]],
    progress: TextIO | None,
) -> None:
    places = asyncio.Semaphore(config.concurrency)
    total = len(found) + len(missing)

    async def one(client: ChatClient, name: str) -> JudgeError | None:
        async with places:
            try:
                answers = await _converse(client, config, missing[name])
            except JudgeError as error:
                return error
        partial.add(missing[name], answers)
        found[name] = answers
        if progress and (progress.isatty() or not len(found) % _EVERY):
            progress.write(f"\ranswered {len(found)} of {total}")
        return None

    try:
        async with ChatClient(config) as client:
            await client.check_model()
            errors = await asyncio.gather(*(one(client, name) for name in missing))
    finally:
        if progress:
            progress.write(f"\ranswered {len(found)} of {total}\n")
    if not found and any(errors):
        raise next(error for error in errors if error)


async def _converse(client: ChatClient, config: RunConfig, conversation: Conversation) -> list[str]:
    """The answers to the turns of one conversation, one after another."""
    messages = [{"role": "system", "content": config.system}] if config.system else []
    answers: list[str] = []
    for turn in conversation.turns:
        messages.append({"role": "user", "content": turn})
        body: dict[str, object] = {
            "model": config.model,
            "messages": messages,
            "temperature": conversation.temperature,
        }
        body |= {"condition": config.condition} if config.condition else {}
        body |= {"max_tokens": config.max_tokens} if config.max_tokens else {}
        reply = await client.ask(orjson.dumps(body), on_throttle=lambda: None)
        if reply.text is None:
            raise JudgeError(f"no answer to {turn[:60]!r}: {reply.error}; the same command resumes")
        answers.append(reply.text)
        messages.append({"role": "assistant", "content": reply.text})
    return answers
