"""The OpenAI-compatible HTTP API and the chat page, on FastAPI.

Knows no tokens and no templates: it turns bytes into chat requests and deltas into bytes.
"""

from __future__ import annotations

from ochat_serve.http.app import build_app

__all__ = ["build_app"]
