"""A small HTTP/1.1 client on asyncio streams: one request a connection, events as they come.

Serves `bench` and `chat`; retries, redirects and proxies are not its business.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ochat_serve.errors import ServeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_LINE_BYTES = 2**22


class EndpointError(ServeError):
    """The endpoint cannot be reached, or refused; the message is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An OpenAI endpoint.

    Attributes:
        url: Its address, with or without /v1.
        key: API key; "" sends none.
        timeout_seconds: How long it may be silent.
    """

    url: str
    key: str = ""
    timeout_seconds: float = 600.0

    async def model(self) -> str:
        """The name of the first model that it serves."""
        body = b"".join([part async for part in self._lines("GET", "/models", None)])
        try:
            return str(json.loads(body)["data"][0]["id"])
        except (ValueError, LookupError, TypeError) as error:
            raise EndpointError(f"{self.url} lists no model; give --model.") from error

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The JSON of each server-sent event.

        Raises:
            EndpointError: The endpoint refused, broke off, or cannot be reached.
        """
        async for line in self._lines("POST", path, json.dumps(body).encode()):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            event = json.loads(data)
            if "error" in event:
                raise EndpointError(str(event["error"].get("message", event["error"])))
            yield event
        raise EndpointError("The stream ended before it was finished.")

    async def _lines(self, method: str, path: str, body: bytes | None) -> AsyncGenerator[bytes]:
        """The lines of a good answer."""
        url = urlsplit(self.url if "//" in self.url else f"http://{self.url}")
        base = url.path.rstrip("/")
        base = base if base.endswith("/v1") else f"{base}/v1"
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            reader, writer = await asyncio.open_connection(
                url.hostname, port, ssl=url.scheme == "https" or None, limit=_LINE_BYTES
            )
        except OSError as error:
            raise EndpointError(f"{self.url} cannot be reached ({error}).") from error
        with closing(writer):
            head = [f"{method} {base}{path} HTTP/1.1", f"host: {url.netloc}", "connection: close"]
            if self.key:
                head.append(f"authorization: Bearer {self.key}")
            if body is not None:
                head += ["content-type: application/json", f"content-length: {len(body)}"]
            writer.write("\r\n".join([*head, "", ""]).encode() + (body or b""))
            try:
                async for line in self._answer(reader):
                    yield line
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                raise EndpointError(f"{self.url} broke off ({error!r}).") from error
            except TimeoutError as error:
                raise EndpointError(
                    f"{self.url} was silent for {self.timeout_seconds:g} seconds."
                ) from error

    async def _answer(self, reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
        async with asyncio.timeout(self.timeout_seconds):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = head.split()[1]
        parts = _chunks(reader) if "transfer-encoding: chunked" in head else _rest(reader)
        if status != "200":
            text = b"".join([part async for part in parts]).decode("utf-8", "replace")
            raise EndpointError(f"{status}: {_message(text)}")
        held = b""
        while True:
            async with asyncio.timeout(self.timeout_seconds):
                part = await anext(parts, None)
            if part is None:
                break
            *lines, held = (held + part).split(b"\n")
            for line in lines:
                yield line
        if held:
            yield held


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def _rest(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    while part := await reader.read(65536):
        yield part


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return text[:200]
