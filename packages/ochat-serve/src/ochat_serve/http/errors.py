"""Every error as OpenAI's `{"error": {message, type, param, code}}`, with its HTTP status.

Which errors exist is `ochat_serve.errors`'s business.
"""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ochat_serve.errors import (
    AuthenticationError,
    BodyTimeoutError,
    BodyTooLargeError,
    EngineDeadError,
    EngineError,
    ModelNotFoundError,
    RequestError,
    TooBusyError,
)
from ochat_serve.record import record_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

_logger = logging.getLogger(__name__)

_STATUS: dict[type[RequestError], int] = {
    AuthenticationError: 401,
    ModelNotFoundError: 404,
    BodyTooLargeError: 413,
    BodyTimeoutError: 408,
}
_CODES = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}
_SHOWN_CHARACTERS, _MESSAGE_CHARACTERS = 60, 800
_RETRY_SECONDS = 5.0  # a supervisor has started another server by then


def error_body(message: str, *, kind: str, param: str | None, code: str | None) -> bytes:
    """The JSON of OpenAI's error object."""
    if len(message) > _MESSAGE_CHARACTERS:  # an answer does not grow with what was sent
        half = _MESSAGE_CHARACTERS // 2
        message = f"{message[:half]} ... {message[-half:]}"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}, separators=(",", ":")).encode()


def describe(error: Exception) -> tuple[int, bytes]:
    """HTTP status and body for an error; what was not foreseen says nothing of its inside."""
    if isinstance(error, TooBusyError):
        kind = "server_error" if error.of_server else "rate_limit_error"
        body = error_body(error.message, kind=kind, param=None, code=error.code)
        return 503 if error.of_server else 429, body
    if isinstance(error, RequestError):
        body = error_body(
            error.message, kind="invalid_request_error", param=error.param, code=error.code
        )
        return _STATUS.get(type(error), 400), body
    if isinstance(error, EngineDeadError):
        status, message, code = 503, str(error), "engine_unavailable"
    elif isinstance(error, EngineError):
        status, message, code = 500, str(error), "engine_error"
    else:
        status, message, code = 500, "The server failed on this request.", "internal_error"
    return status, error_body(message, kind="server_error", param=None, code=code)


def error_response(error: Exception) -> Response:
    """The response for an error."""
    status, body = describe(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status in (429, 503):
        seconds = error.retry_seconds if isinstance(error, TooBusyError) else _RETRY_SECONDS
        headers["retry-after"] = str(max(1, math.ceil(seconds)))
    if status in (408, 413):
        headers["connection"] = "close"  # the rest of the body is not read
    return Response(body, status, headers=headers, media_type="application/json")


def from_validation(details: ErrorDetails) -> RequestError:
    """The first complaint of pydantic about a body, in OpenAI's terms."""
    kind = details["type"]
    if kind == "json_invalid":
        reason = details.get("ctx", {}).get("error", details["msg"])
        return RequestError(f"The request body is not valid JSON: {reason}.", code="invalid_json")
    param = ".".join(str(part) for part in details["loc"]) or None
    if kind == "missing":
        message = f"Missing required parameter: '{param}'."
    elif kind == "extra_forbidden":
        message = f"Unknown parameter: '{param}'."
    else:
        shown = repr(details["input"])
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[:_SHOWN_CHARACTERS] + "..."
        complaint = details["msg"].removeprefix("Value error, ").rstrip(".")
        where = f"'{param}'" if param else "the request body"
        message = f"Invalid value for {where}: {complaint}; got {shown}."
    is_type = kind.endswith("_type")
    code = _CODES.get(kind, "invalid_type" if is_type else "invalid_value")
    return RequestError(message, param=param, code=code)


def install(app: FastAPI) -> None:
    """Answer every failure of a route in OpenAI's shape."""

    async def on_known(request: Request, error: Exception) -> Response:
        record = record_of(request.scope)
        record.error = error.code if isinstance(error, RequestError) else "engine_error"
        return error_response(error)

    async def on_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        messages = {
            404: (f"Unknown request URL: {request.method} {request.url.path}.", "unknown_url"),
            405: (f"{request.url.path} does not take {request.method}.", "method_not_allowed"),
        }
        message, code = messages.get(status, (str(error), None))
        record_of(request.scope).error = code
        body = error_body(message, kind="invalid_request_error", param=None, code=code)
        headers = error.headers if isinstance(error, HTTPException) else None
        return Response(body, status, headers=headers, media_type="application/json")

    async def on_unforeseen(request: Request, error: Exception) -> Response:
        _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        record_of(request.scope).error = "internal_error"
        return error_response(error)

    async def on_disconnect(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # sent to nobody: the client left while sending

    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(RequestError, on_known)
    app.add_exception_handler(EngineError, on_known)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_unforeseen)
