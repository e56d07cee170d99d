"""From a chat request to the text of its answers.

request -> Conversation -> prompt ids -> length check -> engine -> token events -> text deltas.
Which bytes carry them is `ochat_serve.http`'s business; how tokens are made, the engine's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from ochat_serve.chat.request import to_conversation
from ochat_serve.chat.text import AnswerText
from ochat_serve.errors import ContextLengthError, RequestError, UnsupportedParameterError
from ochat_templates import ConditionError, ConversationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ochat_serve.chat.model import ServedModel
    from ochat_serve.chat.request import ChatRequest
    from ochat_serve.engine import Engine, FinishReason, SamplingParams
    from ochat_templates import Conversation

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

    request: ChatRequest
    prompt_ids: list[int]
    sampling: SamplingParams
    continued: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """New text of one answer.

    Attributes:
        index: Which of the `n` answers.
        text: Text to append; may be empty.
        tokens: Tokens generated since the delta before. The end-of-turn token counts, as it does
            in vLLM, though it has no text.
        finish_reason: None while the answer goes on.
    """

    index: int
    text: str
    tokens: int
    finish_reason: FinishReason | None = None


class ChatService:
    """Answers chat requests with one engine and one model."""

    def __init__(self, engine: Engine, model: ServedModel) -> None:
        """Join the engine with the template and tokenizer of the model it runs."""
        self.engine = engine
        self.model = model

    def prepare(self, request: ChatRequest) -> PreparedChat:
        """Check a request and encode its prompt; long prompts take milliseconds.

        Raises:
            ModelNotFoundError: The name is not served.
            UnsupportedParameterError: The engine cannot honour a parameter.
            ContextLengthError: It does not fit the context.
            RequestError: A message, role, condition or the system text is not acceptable.
        """
        self.model.require_name(request.model)
        conversation = to_conversation(request)
        prompt_ids = self._encode(conversation)
        sampling = self._sampling(request, len(prompt_ids))
        last = conversation.messages[-1]
        return PreparedChat(
            request=request,
            prompt_ids=prompt_ids,
            sampling=sampling,
            continued=last.content if last.role == "assistant" else "",
            request_id=f"chatcmpl-{uuid4().hex}",
        )

    async def stream(self, chat: PreparedChat) -> AsyncGenerator[Delta]:
        """The deltas of all answers as they come; closing it aborts what still runs.

        Raises:
            EngineError: The engine failed.
        """
        answers = [self._answer(chat, index) for index in range(chat.request.n)]
        merged = answers[0] if len(answers) == 1 else _merge(answers)
        async with aclosing(merged):
            async for delta in merged:
                yield delta

    def _encode(self, conversation: Conversation) -> list[int]:
        try:
            return self.model.codec.prompt(conversation)
        except ConditionError as error:
            raise RequestError(f"{error}.", param="condition", code="invalid_value") from error
        except ConversationError as error:
            raise RequestError(f"{error}.", param="messages", code="invalid_value") from error

    def _sampling(self, request: ChatRequest, prompt_tokens: int) -> SamplingParams:
        """The engine's parameters, with what the template and the context add to them."""
        room = self.engine.max_model_len - prompt_tokens
        _require_room(request, prompt_tokens, self.engine.max_model_len)
        codec = self.model.codec
        beyond = [i for i in request.stop_token_ids if not 0 <= i < codec.vocab_size]
        if beyond:
            raise RequestError(
                f"stop_token_ids has {beyond[0]}; ids go from 0 to {codec.vocab_size - 1}.",
                param="stop_token_ids",
                code="invalid_value",
            )
        stop_ids = () if request.ignore_eos else codec.stop_ids
        sampling = dataclasses.replace(
            request.sampling,
            max_tokens=room if request.max_tokens is None else request.max_tokens,
            stop_ids=tuple(dict.fromkeys((*stop_ids, *request.stop_token_ids))),
        )
        for name in sorted(sampling.requested() - self.engine.capabilities):
            raise UnsupportedParameterError(
                f"The {self.engine.name} engine does not support {name}; leave it out.", param=name
            )
        if sampling.min_tokens > sampling.max_tokens:
            raise RequestError(
                f"min_tokens is {sampling.min_tokens}, more than the {sampling.max_tokens} tokens "
                "that the answer may have.",
                param="min_tokens",
                code="invalid_value",
            )
        return sampling

    async def _answer(self, chat: PreparedChat, index: int) -> AsyncGenerator[Delta]:
        """One answer; ends at a stop id, a stop string or the length."""
        request = chat.request
        text = AnswerText(
            self.model.codec,
            stops=request.stop,
            continued=chat.continued,
            skip_special_tokens=request.skip_special_tokens,
        )
        sampling = _with_seed_of(chat.sampling, index)
        events = self.engine.generate(chat.prompt_ids, sampling, f"{chat.request_id}-{index}")
        async with aclosing(events):
            async for event in events:
                reason, ids = event.finish_reason, event.token_ids
                # The id that ended the answer is no part of its text.
                shown = (
                    ids[:-1]
                    if reason == "stop" and ids[-1:] and ids[-1] in sampling.stop_ids
                    else ids
                )
                piece, stopped = text.push(shown)
                if reason is not None and not stopped:
                    rest, stopped = text.finish()
                    piece += rest
                reason = "stop" if stopped else reason
                yield Delta(index=index, text=piece, tokens=len(ids), finish_reason=reason)
                if reason is not None:
                    return


def _require_room(request: ChatRequest, prompt_tokens: int, context: int) -> None:
    """Refuse what cannot fit, with the numbers."""
    if prompt_tokens >= context:
        raise ContextLengthError(
            f"This model's maximum context length is {context} tokens, but the messages are "
            f"{prompt_tokens} tokens long; shorten them to at most {context - 1}.",
            param="messages",
        )
    wanted = request.max_tokens
    if wanted is not None and prompt_tokens + wanted > context:
        raise ContextLengthError(
            f"This model's maximum context length is {context} tokens, but "
            f"{prompt_tokens + wanted} were requested ({prompt_tokens} in the messages, {wanted} "
            f"for the answer); ask for at most {context - prompt_tokens} or shorten the messages.",
            param="max_tokens",
        )


def _with_seed_of(sampling: SamplingParams, index: int) -> SamplingParams:
    """Give every answer of a seeded request its own seed, or all would be the same."""
    if sampling.seed is None or index == 0:
        return sampling
    seed = (sampling.seed + index + _SEED_RANGE) % (2 * _SEED_RANGE) - _SEED_RANGE
    return dataclasses.replace(sampling, seed=seed)


async def _merge(answers: list[AsyncGenerator[Delta]]) -> AsyncGenerator[Delta]:
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
