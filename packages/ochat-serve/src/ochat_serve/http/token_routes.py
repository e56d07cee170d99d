"""`/tokenize` and `/detokenize`: what the model would read, and what ids mean."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ochat_serve.chat import ChatMessage, ChatRequest, CompletionRequest
from ochat_serve.errors import RequestError
from ochat_serve.http.body import MessageBody
from ochat_serve.http.fields import parse_body

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ochat_serve.chat import ChatService
    from ochat_serve.http.receiving import BodyReader


class TokenizeBody(BaseModel):
    """A text or messages."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[MessageBody], Field(min_length=1)] | None = None
    condition: str | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeBody(BaseModel):
    """Ids."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str | None = None
    tokens: list[int]


def install(app: FastAPI, service: ChatService, read: BodyReader) -> None:
    """Add the two routes."""

    @app.post("/tokenize", openapi_extra=read.describe(TokenizeBody))
    async def tokenize(request: Request) -> Response:
        body = parse_body(await read(request), TokenizeBody)
        ids = await asyncio.to_thread(_ids, service, body)
        shown = [service.token_text(i) for i in ids] if body.return_token_strs else None
        return JSONResponse(
            {
                "count": len(ids),
                "max_model_len": service.engine.max_model_len,
                "tokens": ids,
                "token_strs": shown,
            }
        )

    @app.post("/detokenize", openapi_extra=read.describe(DetokenizeBody))
    async def detokenize(request: Request) -> Response:
        body = parse_body(await read(request), DetokenizeBody)
        service.model.require_name(body.model or service.model.names[0])
        text = await asyncio.to_thread(service.detokenize, body.tokens)
        return JSONResponse({"prompt": text})


def _ids(service: ChatService, body: TokenizeBody) -> list[int]:
    if (body.prompt is None) == (body.messages is None):
        raise RequestError(
            "Expected either 'prompt' or 'messages'.", param="prompt", code="invalid_value"
        )
    model = body.model or service.model.names[0]
    if body.messages is None:
        return service.tokenize(
            CompletionRequest(
                model=model,
                prompts=(body.prompt or "",),
                add_special_tokens=body.add_special_tokens is not False,
            )
        )
    messages = tuple(ChatMessage(role=m.role, content=m.content) for m in body.messages)
    return service.tokenize(
        ChatRequest(model=model, messages=messages, condition=body.condition or "")
    )
