"""What the API's own description (`/openapi.json`) says of answers; requests say it themselves."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


def _errors(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ERROR}}}


# Every route's.
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": _errors("The request cannot be answered as it stands."),
    "5XX": _errors("The server or its engine cannot answer now."),
}
# Where `stream` chooses between one document and events.
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, whole or as server-sent events.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": _TEXT},
        },
    }
}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "In Prometheus's text format.",
        "content": {"text/plain": {"schema": _TEXT}},
    }
}
