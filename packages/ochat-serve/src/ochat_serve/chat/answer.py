"""One prepared request being answered: token events of the engine become deltas of text.

Checking and encoding a request belong to `service`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ochat_serve.chat.logprobs import ScoredToken, scored_token
from ochat_serve.chat.request import ChatRequest, CompletionRequest
from ochat_serve.chat.text import AnswerText

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ochat_serve.engine import Engine, FinishReason, SamplingParams, TokenEvent
    from ochat_templates import Codec

_SEED_RANGE = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedChat:
    """A request that passed every check, ready for the engine.

    Attributes:
        request: What was asked.
        prompt_ids: The prompt, shape `(tokens,)`.
        sampling: Parameters of the first answer; later ones differ in the seed.
        continued: The partial answer being continued, or "".
        request_id: A fresh name, also the id of the completion.
    """

    request: ChatRequest | CompletionRequest
    prompt_ids: list[int]
    sampling: SamplingParams
    continued: str
    request_id: str


# Not frozen: one is made for every token of every stream, and freezing takes three times as long.
@dataclass(slots=True, kw_only=True)
class Delta:
    """New text of one answer; not to be changed.

    Attributes:
        index: Which of the answers.
        text: Text to append; may be empty.
        tokens: Tokens generated since the delta before. The end-of-turn token counts, as it does
            in vLLM, though it has no text.
        finish_reason: None while the answer goes on.
        scored: The new tokens with their log probabilities, where they were asked for; an echoed
            prompt's first.
        cached_tokens: Tokens of the prompt that the engine did not compute anew, on the first
            delta; None where it does not say.
    """

    index: int
    text: str
    tokens: int
    finish_reason: FinishReason | None = None
    scored: tuple[ScoredToken, ...] = ()
    cached_tokens: int | None = None


async def answer_of(
    engine: Engine, codec: Codec, chat: PreparedChat, index: int, number: int
) -> AsyncGenerator[Delta]:
    """One answer; ends at a stop id, a stop string or the length.

    Args:
        engine: Makes the tokens.
        codec: Turns them into text.
        chat: The request.
        index: Which of its `n` answers.
        number: What the deltas carry as their index.
    """
    sampling = _with_seed_of(chat.sampling, index)
    text, echo = _text(codec, chat), _Echo(codec, chat)
    events = engine.generate(chat.prompt_ids, sampling, f"{chat.request_id}-{index}")
    async with aclosing(events):
        async for event in events:
            if echo.wanted:
                yield echo.delta(event, number, finished=echo.only)
                if echo.only:
                    return
            reason, ids = event.finish_reason, event.token_ids
            shown = ids
            # The id that ended the answer is no part of its text.
            if reason == "stop" and ids and ids[-1] in sampling.stop_ids:
                shown = ids[:-1]
            piece, stopped = text.push(shown)
            if reason is not None and not stopped:
                rest, stopped = text.finish()
                piece += rest
            reason = "stop" if stopped else reason
            scored = _scored(codec, shown, event) if event.logprobs else ()
            yield Delta(
                index=number,
                text=piece,
                tokens=len(ids),
                finish_reason=reason,
                scored=scored,
                cached_tokens=event.cached_tokens,
            )
            if reason is not None:
                return


def _scored(codec: Codec, shown: Sequence[int], event: TokenEvent) -> tuple[ScoredToken, ...]:
    """The new tokens with their log probabilities."""
    pairs = zip(shown, event.logprobs, strict=False)
    return tuple(scored_token(codec, i, entry) for i, entry in pairs)


def _text(codec: Codec, chat: PreparedChat) -> AnswerText:
    request = chat.request
    return AnswerText(
        codec,
        stops=request.stop,
        continued=chat.continued,
        context_ids=chat.prompt_ids if isinstance(request, CompletionRequest) else (),
        skip_special_tokens=request.skip_special_tokens,
    )


class _Echo:
    """The prompt as the beginning of its answer, where a completion asks for that."""

    def __init__(self, codec: Codec, chat: PreparedChat) -> None:
        request = chat.request
        self.wanted = isinstance(request, CompletionRequest) and request.echo
        self.only = self.wanted and request.max_tokens == 0
        self._codec, self._chat = codec, chat

    def delta(self, event: TokenEvent, number: int, *, finished: bool = False) -> Delta:
        """The prompt, once."""
        self.wanted = False
        codec, ids = self._codec, self._chat.prompt_ids
        scored: tuple[ScoredToken, ...] = ()
        if self._chat.sampling.prompt_logprobs is not None:
            entries = (None, *event.prompt_logprobs)
            scored = tuple(scored_token(codec, i, e) for i, e in zip(ids, entries, strict=True))
        reason: FinishReason | None = "length" if finished else None
        return Delta(
            index=number, text=codec.decode(ids), tokens=0, finish_reason=reason, scored=scored
        )


def _with_seed_of(sampling: SamplingParams, index: int) -> SamplingParams:
    """Give every answer of a seeded request its own seed, or all would be the same."""
    if sampling.seed is None or index == 0:
        return sampling
    seed = (sampling.seed + index + _SEED_RANGE) % (2 * _SEED_RANGE) - _SEED_RANGE
    return dataclasses.replace(sampling, seed=seed)


async def merge(answers: Sequence[AsyncGenerator[Delta]]) -> AsyncGenerator[Delta]:
    """Deltas of several answers in the order in which they come."""
    queue: asyncio.Queue[Delta | Exception | None] = asyncio.Queue()

    async def pump(answer: AsyncGenerator[Delta]) -> None:
        end: Exception | None = None
        try:
            async with aclosing(answer):
                async for delta in answer:
                    queue.put_nowait(delta)
        except Exception as error:  # raised again by the reader below
            end = error
        queue.put_nowait(end)

    tasks = [asyncio.create_task(pump(answer)) for answer in answers]
    try:
        unfinished = len(tasks)
        while unfinished:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                unfinished -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
