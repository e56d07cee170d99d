"""The stored responses of another run as a backend: the same answers, with other questions' rules.

Answers are found by the prompt's text, so that ids, labels and families may have changed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from ochat_eval.backends.base import Reply
from ochat_eval.config import RunConfig
from ochat_eval.errors import RunFolderError
from ochat_eval.question import Question
from ochat_eval.store import RunFolder


class ReplayBackend:
    """Answers from a run folder and asks nobody."""

    def __init__(self, config: RunConfig) -> None:
        """Read the stored answers.

        Raises:
            RunFolderError: There is no run folder to replay.
        """
        if config.replay is None:
            raise RunFolderError("replaying needs a run folder: name one by --replay")
        folder = RunFolder.open(config.replay)
        responses = folder.responses()
        self._source = config.replay
        self._by_prompt = {
            question.prompt: responses[question.key]
            for question in folder.questions()
            if question.key in responses
        }

    async def __aenter__(self) -> Self:
        """Nothing is to be opened."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is to be closed."""

    async def check(self) -> None:
        """Make sure that there is at least one answer.

        Raises:
            RunFolderError: There is none.
        """
        if not self._by_prompt:
            raise RunFolderError(f"{self._source} holds no responses: run the evaluation first")

    async def ask(self, question: Question, *, on_throttle: Callable[[], None]) -> Reply:
        """The stored answer, or an error where that prompt was never asked."""
        del on_throttle
        stored = self._by_prompt.get(question.prompt)
        if stored is None:
            return Reply(error="the replayed run holds no answer to this prompt")
        return Reply(
            text=stored.text,
            finish_reason=stored.finish_reason,
            error=stored.error,
            passing=stored.passing,
            prompt_tokens=stored.prompt_tokens,
            completion_tokens=stored.completion_tokens,
            reasoning=stored.reasoning,
            fitted=stored.fitted,
        )
