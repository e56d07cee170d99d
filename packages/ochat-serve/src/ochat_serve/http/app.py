"""The application: routes, their order of checks, and what each answers.

Parsing is in `body`, answering in `responses`, errors in `errors`; starting the engine and
listening on a port belong to `ochat_serve.server`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ochat_serve.chat import ChatService
from ochat_serve.errors import BodyTooLargeError, EngineDeadError
from ochat_serve.http import errors, page
from ochat_serve.http.auth import KeyGate
from ochat_serve.http.body import ChatCompletionBody, parse_chat_body
from ochat_serve.http.responses import Exchange, StreamedAnswer, WholeAnswer
from ochat_serve.request_log import RequestLog
from ochat_serve.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ochat_serve.chat.model import ServedModel
    from ochat_serve.engine import Engine

_PROBE_PATHS = frozenset({"/health", "/ready"})
# Tokenising takes about a millisecond for so much text; more goes to a thread, or it would hold
# up every running stream.
_INLINE_CHARACTERS = 4_096


def build_app(
    engine: Engine, model: ServedModel, settings: ServerSettings | None = None
) -> FastAPI:
    """Make the ASGI application that serves one model.

    Args:
        engine: Runs the model; whoever serves the application starts and stops it.
        model: Names, template and tokenizer of the model.
        settings: How requests are received; None takes the defaults (no keys).

    Raises:
        SetupError: The log file cannot be written.
    """
    settings = settings or ServerSettings()
    log = RequestLog(settings.log_file)
    service = ChatService(engine, model)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        log.close()

    # The documentation pages of FastAPI load scripts from elsewhere; the document itself stays.
    app = FastAPI(title="ochat-serve", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.draining = False
    errors.install(app)
    page.install(app)
    _add_probes(app, engine)
    _add_models(app, service)
    _add_chat(app, service, settings, log)
    app.add_middleware(KeyGate, keys=settings.api_keys, open_paths=_PROBE_PATHS | page.PAGE_PATHS)
    return app


def _add_probes(app: FastAPI, engine: Engine) -> None:
    """`/health`: should this process live on? `/ready`: may it be sent requests now?"""

    @app.get("/health")
    async def health() -> Response:
        engine.check_health()
        return JSONResponse({"status": "ok"})

    @app.get("/ready")
    async def ready() -> Response:
        engine.check_health()
        _refuse_while_draining(app)
        return JSONResponse({"status": "ready"})


def _add_models(app: FastAPI, service: ChatService) -> None:
    """`/v1/models`: every name of the model, the preferred one first."""

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse(
            {"object": "list", "data": [_model_json(service, n) for n in service.model.names]}
        )

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        service.model.require_name(name)
        return JSONResponse(_model_json(service, name))


def _model_json(service: ChatService, name: str) -> dict[str, object]:
    """OpenAI's model object, and what a chat client for OpenChat models wants to know."""
    codec = service.model.codec
    rule = codec.template.condition
    return {
        "id": name,
        "object": "model",
        "created": service.model.created,
        "owned_by": "openchat",
        "root": service.model.names[0],
        "max_model_len": service.engine.max_model_len,
        "template": codec.template.name,
        "fingerprint": codec.fingerprint.digest,
        "condition": {"default": rule.default, "allowed": list(rule.allowed)},
        "system_allowed": codec.template.system_allowed,
    }


def _add_chat(
    app: FastAPI, service: ChatService, settings: ServerSettings, log: RequestLog
) -> None:
    """`/v1/chat/completions`."""
    schema = {"content": {"application/json": {"schema": ChatCompletionBody.model_json_schema()}}}

    # The body is read and parsed here and not by FastAPI: it must be limited before it is read,
    # and complaints must have OpenAI's shape.
    @app.post("/v1/chat/completions", openapi_extra={"requestBody": {"required": True, **schema}})
    async def chat_completions(request: Request) -> Response:
        _refuse_while_draining(app)
        body = parse_chat_body(await _read_body(request, settings.max_body_bytes))
        wanted = body.to_request()
        if sum(len(message.content) for message in wanted.messages) > _INLINE_CHARACTERS:
            chat = await asyncio.to_thread(service.prepare, wanted)
        else:
            chat = service.prepare(wanted)
        service.engine.check_health()
        exchange = Exchange(service, chat, log)
        if body.stream:
            return StreamedAnswer(exchange, include_usage=body.include_usage)
        return WholeAnswer(exchange)


def _refuse_while_draining(app: FastAPI) -> None:
    if app.state.draining:
        raise EngineDeadError("The server is shutting down; ask another one.")


async def _read_body(request: Request, limit: int) -> bytes:
    """The body, given up as soon as it is larger than the limit."""
    size = 0
    parts: list[bytes] = []
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLargeError(f"The request body is larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)
