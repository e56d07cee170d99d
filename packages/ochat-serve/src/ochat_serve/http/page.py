"""The chat page and its files, served from inside the package.

What the page does is in the folder `page`; here is what a browser is told about it.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.css": ("app.css", "text/css; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/stream.js": ("stream.js", "text/javascript; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
PAGE_PATHS = frozenset(_FILES)
# Nothing from elsewhere, nothing inline, nowhere to send a form: what a model writes stays text.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def install(app: FastAPI) -> None:
    """Add the routes of the page."""
    folder = resources.files("ochat_serve") / "page"
    for path, (name, media_type) in _FILES.items():
        content = (folder / name).read_bytes()
        app.add_api_route(
            path, _route(content, media_type), methods=["GET"], include_in_schema=False
        )


def _route(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        # As a header and not as media_type: Starlette would add a second charset.
        return Response(content, headers={**_HEADERS, "content-type": media_type})

    return serve
