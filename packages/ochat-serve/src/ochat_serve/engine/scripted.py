"""An engine without a model: it replays ids given to it, at a given rate.

For tests and load tests of everything above the engine; it needs neither torch nor weights.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ochat_serve.engine.base import SamplingParams, TokenEvent
from ochat_serve.errors import EngineDeadError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

# The whole distribution is one token, so whatever only reshapes a distribution holds trivially.
# Penalties would have to change the token and min_tokens the script: those it cannot honour.
_CAPABILITIES = frozenset(
    {
        "max_tokens",
        "stop_ids",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "cache_salt",
        "stream_interval",
    }
)
_KEPT_REQUESTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """What the engine was asked."""

    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    request_id: str


def echo_last_turn(prompt_ids: Sequence[int], sampling: SamplingParams) -> list[int]:
    """The ids between the last two stop ids of the prompt, then a stop id.

    In a prompt made by a template that is the last finished turn: its prefix and its content.
    Without stop ids in the prompt it is the whole prompt.
    """
    ends = [i for i, token in enumerate(prompt_ids) if token in sampling.stop_ids]
    stop = list(sampling.stop_ids[:1])
    if not ends:
        return list(prompt_ids) + stop
    start = ends[-2] + 1 if len(ends) > 1 else 1
    return list(prompt_ids[start : ends[-1]]) + stop


class ScriptedEngine:
    """Deterministic engine for tests and load tests.

    Attributes:
        requests: The last thousand requests, oldest first.
        running: Requests being answered now.
        aborted: Requests whose iterator was closed before the end.
    """

    name = "scripted"
    capabilities = _CAPABILITIES

    def __init__(
        self,
        script: Sequence[int]
        | Callable[[Sequence[int], SamplingParams], Sequence[int]]
        | None = None,
        *,
        tokens_per_second: float = 0.0,
        tokens_per_event: int = 1,
        max_model_len: int = 4096,
    ) -> None:
        """Choose what is answered and how fast.

        Args:
            script: Ids to replay for every prompt, or a function of prompt ids and sampling
                parameters giving them; None echoes the last turn. The script runs out with
                finish reason `stop`; an id of `stop_ids` or `max_tokens` ends it earlier.
            tokens_per_second: Rate of one stream; 0 is as fast as the event loop allows.
            tokens_per_event: Ids in one event.
            max_model_len: Most tokens of prompt and answer together.
        """
        self._script = echo_last_turn if script is None else script
        self._seconds_per_event = tokens_per_event / tokens_per_second if tokens_per_second else 0.0
        self._tokens_per_event = tokens_per_event
        self.max_model_len = max_model_len
        self.requests: deque[RecordedRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.running = 0
        self.aborted = 0
        self._started = False

    async def start(self) -> None:
        """Take requests from now on."""
        self._started = True

    async def stop(self) -> None:
        """Take no more requests; running ones end with `EngineDeadError`."""
        self._started = False

    def check_health(self) -> None:
        """Raise `EngineDeadError` before `start` and after `stop`."""
        if not self._started:
            raise EngineDeadError("The scripted engine is not running.")

    async def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, request_id: str
    ) -> AsyncGenerator[TokenEvent]:
        """Replay the script; see `Engine.generate`."""
        self.requests.append(
            RecordedRequest(prompt_ids=tuple(prompt_ids), sampling=sampling, request_id=request_id)
        )
        answer = self._answer(prompt_ids, sampling)
        finished = False
        self.running += 1
        try:
            for start in range(0, max(len(answer), 1), self._tokens_per_event):
                await asyncio.sleep(self._seconds_per_event)
                self.check_health()
                ids = tuple(answer[start : start + self._tokens_per_event])
                finished = start + self._tokens_per_event >= len(answer)
                if not finished:
                    yield TokenEvent(token_ids=ids)
                    continue
                full = len(answer) == sampling.max_tokens and answer[-1] not in sampling.stop_ids
                yield TokenEvent(token_ids=ids, finish_reason="length" if full else "stop")
        finally:
            self.running -= 1
            self.aborted += not finished

    def _answer(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> list[int]:
        """The script cut at the first stop id (kept) or at `max_tokens`."""
        script = self._script(prompt_ids, sampling) if callable(self._script) else self._script
        answer: list[int] = []
        for token in script:
            answer.append(token)
            if token in sampling.stop_ids or len(answer) == sampling.max_tokens:
                break
        return answer
