"""The pages and their files, served from inside the package.

What a page does is in the folder `page`; here is what a browser is told about it.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from fastapi import FastAPI

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
# Already compressed.
_PACKED = frozenset({".woff2"})
# Nothing from elsewhere, nothing inline, nowhere to send a form: what a model writes runs nowhere.
# Trusted types: markup enters the document through the sanitiser's policy and in no other way.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # Asked for anew each time, and answered in a few bytes while the hash is the same.
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


class _File:
    """One file of the page as it is sent."""

    def __init__(self, content: bytes, suffix: str) -> None:
        self.content = content
        self.media_type = _MEDIA_TYPES[suffix]
        self.packable = suffix not in _PACKED
        self.tag = f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'

    @cached_property
    def packed(self) -> bytes:
        """The content compressed, when somebody first asks for it so."""
        return gzip.compress(self.content, compresslevel=9, mtime=0)

    def answer(self, request: Request) -> Response:
        """The file, compressed where the browser can read that, or word that it has it."""
        headers = {**_HEADERS, "etag": self.tag}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        # As a header and not as media_type: Starlette would add a second charset.
        headers["content-type"] = self.media_type
        if self.packable and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, headers={**headers, "content-encoding": "gzip"})
        return Response(self.content, headers=headers)


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{path}/{entry.name}")
        elif PurePosixPath(entry.name).suffix in _MEDIA_TYPES:
            yield f"{path}/{entry.name}", entry


def _routes() -> dict[str, Traversable]:
    """Every file below `/page`, and the documents also where people look for them."""
    folder = resources.files("ochat_serve") / "page"
    files = dict(_walk(folder, "/page"))
    documents = {"/": "/page/index.html", "/status": "/page/status/index.html"}
    return files | {path: files[name] for path, name in documents.items() if name in files}


_ROUTES = _routes()
PAGE_PATHS = frozenset(_ROUTES)


def install(app: FastAPI) -> None:
    """Add the routes of the page: few, because routes are tried one after another."""
    files = {
        path: _File(entry.read_bytes(), PurePosixPath(entry.name).suffix)
        for path, entry in _ROUTES.items()
    }

    async def serve(request: Request) -> Response:
        file = files.get(request.scope["path"])
        if file is None:
            raise HTTPException(404)
        return file.answer(request)

    for path in ("/page/{name:path}", "/", "/status"):
        app.add_api_route(path, serve, methods=["GET"], include_in_schema=False)
