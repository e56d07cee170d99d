"""Grading of stored responses: at once where it is quick, by threads where it takes a process.

The rules are in `graders`; counting is in `summary`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from ochat_eval.errors import EvalError
from ochat_eval.graders.families import SLOW_FAMILIES
from ochat_eval.question import Question
from ochat_eval.store import Response
from ochat_eval.verdict import Verdict, failed


def verdict_of(question: Question, response: Response, *, allow_code: bool = False) -> Verdict:
    """The verdict on a stored response.

    Raises:
        GradingError: Grading needs what is missing or not allowed.
    """
    if response.text is None:
        return failed(response.error or "no answer")
    return question.grade(
        response.text, finish_reason=response.finish_reason, allow_code=allow_code
    )


class SlowGrading:
    """Grades what takes long beside the asking: the threads only wait for other processes."""

    def __init__(self, *, allow_code: bool) -> None:
        """Prepare; threads start when needed."""
        self._allow_code = allow_code
        self._threads = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "grading")
        self._pending: dict[str, Future[Verdict]] = {}

    def add(self, question: Question, response: Response) -> Future[Verdict]:
        """Grade one response some time from now."""
        future = self._threads.submit(verdict_of, question, response, allow_code=self._allow_code)
        self._pending[question.key] = future
        return future

    def finish(self) -> dict[str, Verdict]:
        """Every verdict by key, once all are there."""
        try:
            return {key: future.result() for key, future in self._pending.items()}
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give up what has not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def is_slow(question: Question) -> bool:
    """Whether grading asks another process."""
    return question.family in SLOW_FAMILIES


def verdicts_of(
    questions: Iterable[Question],
    responses: Mapping[str, Response],
    *,
    known: Mapping[str, Verdict],
    allow_code: bool,
) -> dict[str, Verdict]:
    """The verdict on every question that has a response, by key.

    Raises:
        EvalError: One cannot be graded; says which.
    """
    verdicts: dict[str, Verdict] = dict(known)
    slow = SlowGrading(allow_code=allow_code)
    try:
        for question in questions:
            response = responses.get(question.key)
            if response is None or question.key in verdicts:
                continue
            if is_slow(question) and response.text is not None:
                slow.add(question, response)
            else:
                verdicts[question.key] = verdict_of(question, response, allow_code=allow_code)
        return verdicts | slow.finish()
    except EvalError:
        slow.cancel()
        raise
