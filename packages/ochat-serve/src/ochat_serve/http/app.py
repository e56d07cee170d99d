"""The application: routes, and what each answers.

Bodies are in `body` and its siblings, answering in `front` and `responses`, errors in `errors`;
starting the engine and listening on a port belong to `ochat_serve.server`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ochat_serve.chat import ChatService
from ochat_serve.http import errors, page, status, token_routes
from ochat_serve.http.body import ChatCompletionBody, CompletionBody
from ochat_serve.http.completion_wire import CompletionWire
from ochat_serve.http.description import ANSWERS, ERRORS, METRICS
from ochat_serve.http.front import Front
from ochat_serve.http.gate import HeadAsGet, KeyGate, Observer
from ochat_serve.http.receiving import BodyReader
from ochat_serve.http.response_body import ResponseBody
from ochat_serve.http.response_wire import ResponseWire
from ochat_serve.http.wire import ChatWire
from ochat_serve.keys import KeyRing
from ochat_serve.limits import Admission
from ochat_serve.metrics import Metrics
from ochat_serve.request_log import RequestLog
from ochat_serve.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pydantic import BaseModel

    from ochat_serve.chat.model import ServedModel
    from ochat_serve.engine import Engine
    from ochat_serve.http.exchange import Exchange

_PROBE_PATHS = frozenset({"/health", "/ready"})
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build_app(
    engine: Engine, model: ServedModel, settings: ServerSettings | None = None
) -> FastAPI:
    """Make the ASGI application that serves one model.

    Args:
        engine: Runs the model; whoever serves the application starts and stops it.
        model: Names, template and tokenizer of the model.
        settings: How requests are received; None takes the defaults (no keys).

    Raises:
        SetupError: The log file cannot be written, or the key file cannot be read.
    """
    settings = settings or ServerSettings()
    keys = KeyRing(settings.api_keys, file=settings.key_file, limits=settings.limits)
    log = RequestLog(settings.log_file)
    service, metrics = ChatService(engine, model), Metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        log.close()

    # The documentation pages of FastAPI load scripts from elsewhere; the document itself stays.
    app = FastAPI(
        title="ochat-serve", docs_url=None, redoc_url=None, lifespan=lifespan, responses=ERRORS
    )
    app.state.draining, app.state.keys = False, keys
    front = Front(
        service,
        BodyReader(limit_bytes=settings.max_body_bytes, seconds=settings.body_seconds),
        Admission(settings.max_running),
        settings,
        lambda: bool(app.state.draining),
    )
    errors.install(app)
    # First, because routes are tried one after another.
    _add_answers(app, front)
    page.install(app)
    _add_probes(app, front)
    _add_models(app, service)
    token_routes.install(app, service, front.read)
    _add_metrics(app, front, metrics)
    board = status.StatusBoard()
    status.install(app, board, service, metrics)
    _wrap(app, settings, keys, log, metrics, board)
    return app


def _wrap(
    app: FastAPI,
    settings: ServerSettings,
    keys: KeyRing,
    log: RequestLog,
    metrics: Metrics,
    board: status.StatusBoard,
) -> None:
    """The layers around all routes; the last one added is the outermost."""
    open_paths = _PROBE_PATHS | page.PAGE_PATHS
    app.add_middleware(KeyGate, keys=keys, open_paths=open_paths)
    if settings.allowed_origins:
        # Outside the gate: a browser's question whether it may ask carries no key.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after"],
        )
    unobserved = open_paths | {"/metrics", status.STATUS_PATH}
    app.add_middleware(status.StatusWatch, board=board, unobserved=unobserved)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Observer, log=log, metrics=metrics, unobserved=unobserved)


def _add_probes(app: FastAPI, front: Front) -> None:
    """`/health`: should this process live on? `/ready`: may it be sent requests now?"""

    @app.get("/health")
    async def health() -> Response:
        front.service.engine.check_health()
        return JSONResponse({"status": "ok"})

    @app.get("/ready")
    async def ready() -> Response:
        front.require_open()
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

    @app.get("/version")
    async def serving_version() -> Response:
        return JSONResponse({"version": version("ochat-serve"), "engine": service.engine.name})


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
        "parent": service.model.names[0] if service.model.adapter_of(name) else None,
        "max_model_len": service.engine.max_model_len,
        "template": codec.template.name,
        "fingerprint": codec.fingerprint.digest,
        "condition": {"default": rule.default, "allowed": list(rule.allowed)},
        "system_allowed": codec.template.system_allowed,
    }


def _add_answers(app: FastAPI, front: Front) -> None:
    """The three routes that generate."""

    # Bodies are read and parsed here and not by FastAPI: they must be limited before they are
    # read, and complaints must have OpenAI's shape.
    def describe(kind: type[BaseModel]) -> dict[str, Any]:
        described = front.read.describe(kind)
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        schema["properties"]["model"]["enum"] = list(front.service.model.names)
        return described

    @app.post("/v1/chat/completions", responses=ANSWERS, openapi_extra=describe(ChatCompletionBody))
    async def chat_completions(request: Request) -> Response:
        return await front.answer(request, ChatCompletionBody, chat_wire)

    @app.post("/v1/completions", responses=ANSWERS, openapi_extra=describe(CompletionBody))
    async def completions(request: Request) -> Response:
        return await front.answer(request, CompletionBody, completion_wire)

    @app.post("/v1/responses", responses=ANSWERS, openapi_extra=describe(ResponseBody))
    async def responses(request: Request) -> Response:
        return await front.answer(request, ResponseBody, response_wire)

    def chat_wire(exchange: Exchange, body: ChatCompletionBody) -> ChatWire:
        return ChatWire(exchange, include_usage=body.include_usage, logprobs=bool(body.logprobs))

    def completion_wire(exchange: Exchange, body: CompletionBody) -> CompletionWire:
        return CompletionWire(
            exchange, include_usage=body.include_usage, logprobs=body.logprobs is not None
        )

    def response_wire(exchange: Exchange, body: ResponseBody) -> ResponseWire:
        return ResponseWire(exchange, body.echoed())


def _add_metrics(app: FastAPI, front: Front, metrics: Metrics) -> None:
    """`/metrics`, for Prometheus; closed like the API when keys are set."""
    metrics.gauge("running", "Requests being answered.", lambda: front.admission.running)
    metrics.gauge(
        "draining", "1 while the server refuses requests.", lambda: float(app.state.draining)
    )

    @app.get("/metrics", response_class=PlainTextResponse, responses=METRICS)
    async def read_metrics() -> Response:
        return PlainTextResponse(metrics.render(), media_type=_METRICS_TYPE)
