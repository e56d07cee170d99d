"""Reading a request's body within limits of size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ochat_serve.errors import BodyTimeoutError, BodyTooLargeError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request


class BodyReader:
    """Reads bodies; given up as soon as one is larger or slower than it may be."""

    def __init__(self, *, limit_bytes: int, seconds: float) -> None:
        """Take the limits.

        Args:
            limit_bytes: Largest body that is read.
            seconds: How long a client may take to send one.
        """
        self._limit, self._seconds = limit_bytes, seconds

    async def __call__(self, request: Request) -> bytes:
        """The body.

        Raises:
            BodyTooLargeError: It is larger, or says that it will be.
            BodyTimeoutError: It did not come in time.
        """
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self._limit:
            raise BodyTooLargeError(f"The request body is larger than {self._limit} bytes.")
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(request)
        except TimeoutError as error:
            raise BodyTimeoutError(
                f"The request body did not come within {self._seconds:g} seconds."
            ) from error

    async def _read(self, request: Request) -> bytes:
        size = 0
        parts: list[bytes] = []
        async for part in request.stream():
            size += len(part)
            if size > self._limit:
                raise BodyTooLargeError(f"The request body is larger than {self._limit} bytes.")
            parts.append(part)
        return b"".join(parts)

    @staticmethod
    def describe(kind: type[BaseModel]) -> dict[str, Any]:
        """The body in the API's description."""
        # The schema of the wire: what a client may send, before anything is read out of it.
        schema = kind.model_json_schema()
        definitions = schema.pop("$defs", {})
        return {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _inlined(schema, definitions)}},
            }
        }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 (any JSON)
    """A schema with its references replaced; a body's place in the document is no root."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items()}
