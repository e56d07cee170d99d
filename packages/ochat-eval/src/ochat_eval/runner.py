"""Asks a suite's questions of a server and leaves a run folder: one loop, bounded concurrency.

HTTP is in `client`, files in `store`, rules in `graders`, figures in `summary`; this calls them.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator
from typing import TextIO

import aiohttp
import orjson

from ochat_eval.client import ChatClient, Reply
from ochat_eval.config import RunConfig
from ochat_eval.errors import EvalError
from ochat_eval.progress import Progress
from ochat_eval.question import Question
from ochat_eval.store import SCHEMA_VERSION, Response, RunFolder
from ochat_eval.suite import Suite, load_suite
from ochat_eval.summary import rescore, verdict_of
from ochat_eval.verdict import Verdict
from ochat_eval.version import installed_version


def run_suite(config: RunConfig, *, progress: TextIO | None = None) -> dict[str, object]:
    """Ask every question that has no answer in the run folder yet, grade, and summarise.

    Args:
        config: The run.
        progress: Where to draw the progress line; None draws none.

    Returns:
        The content of `summary.json`.

    Raises:
        EvalError: The suite, the server or the run folder is not usable; nothing is half written,
            and the same call resumes where it stopped.
    """
    suite = load_suite(config.suite, family=config.family, limit=config.limit)
    return asyncio.run(_run(config, suite, progress))


async def _run(config: RunConfig, suite: Suite, progress: TextIO | None) -> dict[str, object]:
    async with ChatClient(config) as client:
        await client.check_model()
        folder = RunFolder.prepare(config.output, _manifest(config, suite), suite.questions)
        stored = folder.responses()
        answered = {key for key, response in stored.items() if not response.passing}
        missing = [question for question in suite.questions if question.key not in answered]
        total = len(suite.questions)
        line = Progress(progress, total=total, done=total - len(missing)) if progress else None
        with folder:
            verdicts = await _ask_all(client, config, folder, missing, line)
    return rescore(config.output, known=verdicts)


async def _ask_all(
    client: ChatClient,
    config: RunConfig,
    folder: RunFolder,
    questions: list[Question],
    line: Progress | None,
) -> dict[str, Verdict]:
    """Ask with so many workers as may be in flight; the verdicts by key."""
    verdicts: dict[str, Verdict] = {}
    waiting = iter(questions)

    async def work(waiting: Iterator[Question]) -> None:
        for question in waiting:
            reply = await client.ask(request_body(config, question.prompt))
            response = _response(question, reply)
            folder.append(response)
            verdicts[question.key] = verdict = verdict_of(question, response)
            if line:
                line.add(verdict.status)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(config.concurrency, len(questions))):
                workers.create_task(work(waiting))
    except ExceptionGroup as group:
        # Not `except*`: Python before 3.11.4 wraps what it raises in a group again.
        expected, other = group.split(EvalError)
        if expected is None or other is not None:
            raise
        first = next(_leaves(expected))
        raise type(first)(
            f"{first} (stopped after {len(verdicts)} of {len(questions)} questions; "
            "the same command resumes)"
        ) from None
    finally:
        if line:
            line.finish()
    return verdicts


def request_body(config: RunConfig, prompt: str) -> bytes:
    """The JSON of one chat request; what is not set is left to the server."""
    body: dict[str, object] = {
        "model": config.model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": config.temperature,
    }
    if config.max_tokens is not None:
        body["max_tokens"] = config.max_tokens
    if config.condition:
        body["condition"] = config.condition
    return orjson.dumps(body)


def _manifest(config: RunConfig, suite: Suite) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "config": config.identity(),
        "suite": {"name": suite.name, "digest": suite.digest},
        "versions": {
            "python": platform.python_version(),
            "ochat-eval": installed_version(),
            "aiohttp": aiohttp.__version__,
        },
    }


def _response(question: Question, reply: Reply) -> Response:
    return Response(
        key=question.key,
        id=question.id,
        text=reply.text,
        finish_reason=reply.finish_reason,
        error=reply.error,
        passing=reply.passing,
        attempts=reply.attempts,
        seconds=reply.seconds,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
    )


def _leaves(group: BaseExceptionGroup[EvalError]) -> Iterator[EvalError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
