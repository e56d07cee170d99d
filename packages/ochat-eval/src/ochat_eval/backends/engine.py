"""A model in this process: exact prompt ids through ochat-serve's engines, without HTTP.

The template's codec makes the ids and `ChatService` the text, as in the server; which engine runs
is ochat-serve's choice or the user's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ochat_eval.backends.base import Reply
from ochat_eval.config import RunConfig
from ochat_eval.errors import ServerError
from ochat_eval.question import Question

if TYPE_CHECKING:
    from ochat_serve import ChatRequest, ChatService, Engine


class EngineBackend:
    """Loads a model folder and answers with it.

    Attributes:
        engine: What runs the model, while this is open.
    """

    def __init__(self, config: RunConfig) -> None:
        """Remember what to load."""
        self._config = config
        self.engine: Engine | None = None
        self._service: ChatService | None = None

    async def __aenter__(self) -> Self:
        """Load template, tokenizer and weights.

        Raises:
            ServerError: The folder or the engine cannot be used; says why.
        """
        from ochat_serve import (
            ChatService,
            EngineOptions,
            ServeError,
            create_engine,
            open_model_folder,
            resolve_engine_name,
        )

        try:
            name = resolve_engine_name(self._config.engine)
            folder = open_model_folder(
                Path(self._config.model),
                model_type=self._config.model_type,
                needs_weights=name != "scripted",
            )
            options = EngineOptions(
                max_model_len=folder.max_model_len,
                vllm_arguments=self._config.engine_arguments,
            )
            engine = create_engine(name, folder.path, options)
            await engine.start()
        except ServeError as error:
            raise ServerError(str(error)) from error
        self.engine, self._service = engine, ChatService(engine, folder.model)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the model."""
        if self.engine is not None:
            await self.engine.stop()

    async def check(self) -> None:
        """Make sure that the engine takes requests."""
        from ochat_serve import ServeError

        try:
            self._ready[0].check_health()
        except ServeError as error:
            raise ServerError(str(error)) from error

    async def ask(self, question: Question, *, on_throttle: Callable[[], None]) -> Reply:
        """Answer one question; the engine batches what is in flight."""
        from ochat_serve import ContextLengthError, EngineDeadError, ServeError

        del on_throttle
        start = time.perf_counter()
        request, fitted = self._request(question), False
        try:
            try:
                reply = await self._answer(request)
            except ContextLengthError:
                if request.max_tokens is None:
                    raise
                fitted = True
                reply = await self._answer(replace(request, max_tokens=None))
        except EngineDeadError as error:
            raise ServerError(f"{error} (start the same command again: it resumes)") from error
        except ServeError as error:
            return Reply(error=str(error), seconds=round(time.perf_counter() - start, 4))
        return replace(reply, seconds=round(time.perf_counter() - start, 4), fitted=fitted)

    async def _answer(self, request: ChatRequest) -> Reply:
        _, service = self._ready
        chat = service.prepare(request)
        pieces: list[str] = []
        tokens, reason = 0, None
        async for delta in service.stream(chat):
            pieces.append(delta.text)
            tokens += delta.tokens
            reason = delta.finish_reason or reason
        return Reply(
            text="".join(pieces),
            finish_reason=reason,
            prompt_tokens=len(chat.prompt_ids),
            completion_tokens=tokens,
        )

    def _request(self, question: Question) -> ChatRequest:
        from ochat_serve import ChatMessage, ChatRequest, SamplingParams

        messages = [ChatMessage(role="user", content=question.prompt)]
        if self._config.system:
            messages.insert(0, ChatMessage(role="system", content=self._config.system))
        return ChatRequest(
            model=self._ready[1].model.names[0],
            messages=tuple(messages),
            condition=self._config.condition,
            max_tokens=self._config.max_tokens or question.max_tokens,
            stop=question.stop,
            sampling=SamplingParams(temperature=self._config.temperature),
        )

    @property
    def _ready(self) -> tuple[Engine, ChatService]:
        if self.engine is None or self._service is None:
            raise RuntimeError("use EngineBackend with `async with`")
        return self.engine, self._service
