"""What a backend is: one question in, one `Reply` out, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ochat_eval.question import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one question led to: a text, or the reason why there is none.

    Attributes:
        text: The answer.
        finish_reason: `stop`, `length` or another word of the server's.
        error: Why there is no text.
        passing: Whether the failure may pass, so that a resumed run asks again.
        attempts: How often it was sent.
        seconds: From the first attempt to the last byte.
        prompt_tokens: As the model's side counts them.
        completion_tokens: As the model's side counts them.
        reasoning: What a server that separates it gave as reasoning.
        fitted: Whether the limit of tokens was left out, because it did not fit the context.
        first_token: Log probabilities of the first token's alternatives, where they were asked for.
    """

    text: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    passing: bool = False
    attempts: int = 1
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning: str | None = None
    fitted: bool = False
    first_token: Mapping[str, float] | None = None


class Backend(Protocol):
    """Answers questions; an asynchronous context manager that holds connections or a model."""

    async def __aenter__(self) -> Self:
        """Open connections, or load the model."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        ...

    async def check(self) -> None:
        """Return if questions can be asked.

        Raises:
            ServerError: They cannot; says what to do.
        """
        ...

    async def ask(self, question: Question, *, on_throttle: Callable[[], None]) -> Reply:
        """Ask one question; again where a failure may pass.

        Args:
            question: What to ask.
            on_throttle: Called whenever there is too much in flight.

        Raises:
            ServerError: No question would fare better.
        """
        ...
