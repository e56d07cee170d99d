"""Backends: where answers come from. One protocol; HTTP, a spawned server, an engine, a replay.

Each brings its libraries when it is made: an evaluation over HTTP loads no torch.
"""

from __future__ import annotations

from ochat_eval.backends.base import Backend, Reply
from ochat_eval.backends.create import create_backend

__all__ = ["Backend", "Reply", "create_backend"]
