"""Asks a suite's questions and leaves a run folder: one loop over all tasks, bounded concurrency.

Answers come from `backends`, files are in `store`, rules in `graders`, figures in `summary`, the
order in `ordering`; this calls them.
"""

from __future__ import annotations

import asyncio
import gc
import platform
from collections.abc import Iterator
from concurrent.futures import Future
from importlib.metadata import version
from typing import TextIO

from ochat_eval.backends import Backend, Reply, create_backend
from ochat_eval.config import RunConfig
from ochat_eval.errors import EvalError
from ochat_eval.grading import SlowGrading, is_slow, verdict_of
from ochat_eval.limit import Limit
from ochat_eval.ordering import asking_order
from ochat_eval.progress import Progress
from ochat_eval.question import Question
from ochat_eval.store import SCHEMA_VERSION, Response, RunFolder
from ochat_eval.suite import Suite, SuiteOptions, load_suite
from ochat_eval.summary import rescore
from ochat_eval.verdict import Status, Verdict
from ochat_eval.version import installed_version

_COLLECT_EVERY = 50_000  # objects; Python's own 700 is for programs that keep little


def run_suite(
    config: RunConfig, *, suite: Suite | None = None, progress: TextIO | None = None
) -> dict[str, object]:
    """Ask every question that has no answer in the run folder yet, grade, and summarise.

    Args:
        config: The run.
        suite: Questions that are already there, instead of the ones that the configuration names.
        progress: Where to draw the progress line; None draws none.

    Returns:
        The content of `summary.json`.

    Raises:
        EvalError: The suite, the server or the run folder is not usable; nothing is half written,
            and the same call resumes where it stopped.
    """
    asked = suite or load_suite(config.suite, options=suite_options(config))
    if progress:
        progress.writelines(f"left out: {reason}\n" for reason in asked.left_out)
    # What is kept lives to the end: looking at it again in each collection costs a tenth.
    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(_COLLECT_EVERY, *thresholds[1:])
    try:
        verdicts, responses = asyncio.run(_run(config, asked, progress))
        return rescore(
            config.output,
            known=verdicts,
            questions=asked.questions,
            responses=responses,
            allow_code=config.allow_code,
            profiles=config.profiles,
        )
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def suite_options(config: RunConfig) -> SuiteOptions:
    """How the run's suite is read."""
    return SuiteOptions(
        family=config.family,
        limit=config.limit,
        data=config.data,
        allow_code=config.allow_code,
        skip_missing=config.skip_missing,
    )


async def _run(
    config: RunConfig, suite: Suite, progress: TextIO | None
) -> tuple[dict[str, Verdict], dict[str, Response]]:
    """What was asked now: verdicts, and with what was there before, every response."""
    async with create_backend(config) as backend:
        await backend.check()
        folder = RunFolder.prepare(config.output, _manifest(config, suite), suite.questions)
        stored = folder.responses()
        answered = {key for key, response in stored.items() if not response.passing}
        missing = [question for question in suite.questions if question.key not in answered]
        total = len(suite.questions)
        line = Progress(progress, total=total, done=total - len(missing)) if progress else None
        with folder:
            asking = _Asking(backend, config, folder, line)
            verdicts = await asking.ask_all(asking_order(missing))
        return verdicts, stored | asking.responses


class _Asking:
    """The state of one loop: what was answered, is in flight, was graded."""

    def __init__(
        self, backend: Backend, config: RunConfig, folder: RunFolder, line: Progress | None
    ) -> None:
        self._backend, self._folder, self._line = backend, folder, line
        self._allow_code = config.allow_code
        self._limit = Limit(most=config.concurrency)
        self._slow = SlowGrading(allow_code=config.allow_code)
        self._verdicts: dict[str, Verdict] = {}
        self.responses: dict[str, Response] = {}
        self._running = 0

    async def ask_all(self, questions: list[Question]) -> dict[str, Verdict]:
        """Ask with so many workers as may be in flight; the verdicts by key."""
        waiting = iter(questions)
        try:
            async with asyncio.TaskGroup() as workers:
                self._start(workers, waiting)
            return self._verdicts | await asyncio.to_thread(self._slow.finish)
        except ExceptionGroup as group:
            # Not `except*`: Python before 3.11.4 wraps what it raises in a group again.
            expected, other = group.split(EvalError)
            if expected is None or other is not None:
                raise
            first = next(_leaves(expected))
            raise type(first)(
                f"{first} (stopped after {len(self.responses)} of {len(questions)} questions; "
                "the same command resumes)"
            ) from None
        finally:
            self._slow.cancel()
            if self._line:
                self._line.finish()

    def _start(self, workers: asyncio.TaskGroup, waiting: Iterator[Question]) -> None:
        """Start as many workers as are missing to what may be in flight."""
        for _ in range(self._limit.allowed - self._running):
            question = next(waiting, None)
            if question is None:
                return
            self._running += 1
            workers.create_task(self._work(workers, waiting, question))

    async def _work(
        self, workers: asyncio.TaskGroup, waiting: Iterator[Question], first: Question
    ) -> None:
        """Ask one question after another, as long as there may be so many workers."""
        question: Question | None = first
        while question is not None:
            reply = await self._backend.ask(question, on_throttle=self._limit.throttle)
            if reply.error is None:
                self._limit.succeed()
            self._take(question, reply)
            if self._running > self._limit.allowed:
                break
            question = next(waiting, None)
            self._start(workers, waiting)
        self._running -= 1

    def _take(self, question: Question, reply: Reply) -> None:
        """Store a reply, and grade it now or beside the asking."""
        response = _response(question, reply)
        self._folder.append(response)
        self.responses[question.key] = response
        if is_slow(question) and response.text is not None:
            future = self._slow.add(question, response)
            if self._line:
                self._line.add(None, reply.completion_tokens)
                future.add_done_callback(self._count)
            return
        verdict = verdict_of(question, response, allow_code=self._allow_code)
        self._verdicts[question.key] = verdict
        if self._line:
            self._line.add(verdict.status, reply.completion_tokens)

    def _count(self, future: Future[Verdict]) -> None:
        if self._line and not future.cancelled() and future.exception() is None:
            self._line.count(Status(future.result().status))


def _manifest(config: RunConfig, suite: Suite) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "config": config.identity(),
        "suite": {"name": suite.name, "digest": suite.digest},
        "tasks": {
            task.id: {"version": task.version, "digest": task.digest} for task in suite.tasks
        },
        "left_out": list(suite.left_out),
        "versions": {
            "python": platform.python_version(),
            "ochat-eval": installed_version(),
            "aiohttp": version("aiohttp"),
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
        reasoning=reply.reasoning,
        fitted=reply.fitted,
    )


def _leaves(group: BaseExceptionGroup[EvalError]) -> Iterator[EvalError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
