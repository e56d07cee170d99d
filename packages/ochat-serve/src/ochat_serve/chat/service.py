"""From a request to the text of its answers.

request -> Conversation -> prompt ids -> length check -> engine -> token events -> text deltas.
Which bytes carry them is `ochat_serve.http`'s business; how tokens are made, the engine's.
"""

from __future__ import annotations

import dataclasses
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import uuid4

from ochat_serve.chat.answer import PreparedChat, answer_of, merge
from ochat_serve.chat.logprobs import scored_token
from ochat_serve.chat.request import ChatRequest, CompletionRequest, to_conversation
from ochat_serve.chat.text import AnswerText
from ochat_serve.engine import grammar
from ochat_serve.errors import ContextLengthError, RequestError, UnsupportedParameterError
from ochat_templates import ConditionError, ConversationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from ochat_serve.chat.answer import Delta
    from ochat_serve.chat.model import ServedModel
    from ochat_serve.engine import Engine, SamplingParams
    from ochat_templates import Conversation

# Where the API's word differs from the engine's.
_FIELD_OF = {"prompt_logprobs": "logprobs"}


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
        _require_followable(request)
        last = conversation.messages[-1]
        return PreparedChat(
            request=request,
            prompt_ids=prompt_ids,
            sampling=sampling,
            continued=last.content if last.role == "assistant" else "",
            request_id=f"chatcmpl-{uuid4().hex}",
        )

    def prepare_completion(self, request: CompletionRequest) -> list[PreparedChat]:
        """Check a request for plain continuation and encode its prompts, one each.

        Raises:
            RequestError: As `prepare`.
        """
        self.model.require_name(request.model)
        name = f"cmpl-{uuid4().hex}"
        prepared: list[PreparedChat] = []
        for prompt in request.prompts:
            ids = self._prompt_ids(prompt, add_special_tokens=request.add_special_tokens)
            sampling = self._sampling(request, len(ids))
            if not ids:
                raise RequestError(
                    "Expected a prompt of at least one token, got none.",
                    param="prompt",
                    code="invalid_value",
                )
            prepared.append(
                PreparedChat(
                    request=request,
                    prompt_ids=ids,
                    sampling=sampling,
                    continued="",
                    request_id=name if len(request.prompts) == 1 else f"{name}-{len(prepared)}",
                )
            )
        return prepared

    def tokenize(self, request: ChatRequest | CompletionRequest) -> list[int]:
        """The ids that the model would read; errors as those of `prepare`."""
        self.model.require_name(request.model)
        if isinstance(request, CompletionRequest):
            special = request.add_special_tokens
            return self._prompt_ids(request.prompts[0], add_special_tokens=special)
        return self._encode(to_conversation(request))

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of ids; control tokens have their names.

        Raises:
            RequestError: The tokenizer lacks an id.
        """
        codec = self.model.codec
        require_known_ids(ids, codec.vocab_size, param="tokens")
        text = AnswerText(codec, skip_special_tokens=False)
        return text.push(ids)[0] + text.finish()[0]

    def token_text(self, token: int) -> str:
        """What one id spells."""
        return scored_token(self.model.codec, token).text

    async def stream(self, chat: PreparedChat) -> AsyncGenerator[Delta]:
        """The deltas of all answers as they come; closing it aborts what still runs.

        Raises:
            EngineError: The engine failed.
        """
        async with aclosing(self.stream_all([chat])) as deltas:
            async for delta in deltas:
                yield delta

    def stream_all(self, chats: Sequence[PreparedChat]) -> AsyncGenerator[Delta]:
        """As `stream`, for several prompts; answers are numbered through, prompt by prompt."""
        pairs = [(chat, index) for chat in chats for index in range(chat.request.n)]
        answers = [
            answer_of(self.engine, self.model.codec, chat, index, number)
            for number, (chat, index) in enumerate(pairs)
        ]
        # No generator of its own around a single answer: each costs time with every token.
        return answers[0] if len(answers) == 1 else merge(answers)

    def _prompt_ids(self, prompt: str | tuple[int, ...], *, add_special_tokens: bool) -> list[int]:
        codec = self.model.codec
        if isinstance(prompt, str):
            start = [codec.bos_id] if add_special_tokens and codec.bos_id is not None else []
            try:
                return start + codec.encode_text(prompt)
            except ConversationError as error:
                raise RequestError(f"{error}.", param="prompt", code="invalid_value") from error
        require_known_ids(prompt, codec.vocab_size, param="prompt")
        return list(prompt)

    def _encode(self, conversation: Conversation) -> list[int]:
        try:
            return self.model.codec.prompt(conversation)
        except ConditionError as error:
            raise RequestError(f"{error}.", param="condition", code="invalid_value") from error
        except ConversationError as error:
            raise RequestError(f"{error}.", param="messages", code="invalid_value") from error

    def _sampling(
        self, request: ChatRequest | CompletionRequest, prompt_tokens: int
    ) -> SamplingParams:
        """The engine's parameters, with what the template and the context add to them."""
        room = self.engine.max_model_len - prompt_tokens
        _require_room(request, prompt_tokens, self.engine.max_model_len)
        codec = self.model.codec
        require_known_ids(request.stop_token_ids, codec.vocab_size, param="stop_token_ids")
        biased = [token for token, _ in request.sampling.logit_bias]
        require_known_ids(biased, codec.vocab_size, param="logit_bias")
        stop_ids = () if request.ignore_eos else codec.stop_ids
        sampling = dataclasses.replace(
            request.sampling,
            max_tokens=room if request.max_tokens is None else max(request.max_tokens, 1),
            stop_ids=tuple(dict.fromkeys((*stop_ids, *request.stop_token_ids))),
            adapter=self.model.adapter_of(request.model),
        )
        for name in sorted(sampling.requested() - self.engine.capabilities):
            field = _FIELD_OF.get(name, name)
            if name == "json_schema" and isinstance(request, ChatRequest):
                field = request.schema_field
            raise UnsupportedParameterError(
                f"The {self.engine.name} engine does not support {field}; leave it out.",
                param=field,
            )
        if sampling.min_tokens > sampling.max_tokens:
            raise RequestError(
                f"min_tokens is {sampling.min_tokens}, more than the {sampling.max_tokens} tokens "
                "that the answer may have.",
                param="min_tokens",
                code="invalid_value",
            )
        return sampling


def _require_followable(request: ChatRequest) -> None:
    """Refuse a schema that no answer can be held to, and what would keep an answer from ending.

    Compiling takes milliseconds for most schemas, much longer for some.
    """
    schema = request.sampling.json_schema
    if schema is None:
        return
    for name, given in (
        ("ignore_eos", request.ignore_eos),
        ("min_tokens", request.sampling.min_tokens > 0),
    ):
        if given:
            raise RequestError(
                f"{name} cannot be had together with {request.schema_field}: the answer ends "
                "where the schema ends.",
                param=name,
                code="invalid_value",
            )
    reason = grammar.complaint(schema)
    if reason is not None:
        raise RequestError(
            f"Invalid schema for {request.schema_field}: {reason}.",
            param=request.schema_field,
            code="invalid_json_schema",
        )


def _require_room(
    request: ChatRequest | CompletionRequest, prompt_tokens: int, context: int
) -> None:
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


def require_known_ids(ids: Iterable[int], vocab_size: int, *, param: str) -> None:
    """Return if the tokenizer has every id.

    Raises:
        RequestError: It lacks one; the message names it.
    """
    beyond = next((i for i in ids if not 0 <= i < vocab_size), None)
    if beyond is not None:
        raise RequestError(
            f"{param} has {beyond}; ids go from 0 to {vocab_size - 1}.",
            param=param,
            code="invalid_value",
        )
