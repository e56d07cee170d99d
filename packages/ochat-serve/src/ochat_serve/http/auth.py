"""Closes every route without a key, except those that must be open.

A wall around the whole application and not a check in each route: a route added later is closed
unless it is named here.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from ochat_serve.errors import AuthenticationError
from ochat_serve.http.errors import error_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send


class KeyGate:
    """ASGI middleware that lets requests with a known key through.

    Keys are compared by their digests in constant time, and always with all of them, so that
    neither a key's beginning nor its place in the list can be found by timing.
    """

    def __init__(self, app: ASGIApp, *, keys: Iterable[str], open_paths: frozenset[str]) -> None:
        """Guard `app`; without keys everything is open."""
        self._app = app
        self._digests = [_digest(key) for key in keys]
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        guarded = scope["type"] == "http" and scope["path"] not in self._open_paths
        if guarded and self._digests:
            try:
                self._require_key(Headers(scope=scope).get("authorization", ""))
            except AuthenticationError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _require_key(self, header: str) -> None:
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise AuthenticationError(
                "This server needs an API key; send it as 'Authorization: Bearer KEY'."
            )
        digest = _digest(key.strip())
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise AuthenticationError("The API key is not one of this server's.")


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
