"""Settings of the HTTP server, as one frozen record.

What the model and the engine need is given to them directly; the command line fills both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ochat_serve.keys import KeyLimits

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT = 18888  # the seed's published port


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How requests are received.

    Attributes:
        api_keys: Keys that open the API; empty leaves it open to whoever can connect.
        key_file: Further keys by their digests, followed while the server runs.
        limits: What a key may use where the key file does not say; without keys, what all
            callers together may use.
        max_running: Requests answered at the same time; more are refused with 503.
        max_body_bytes: Largest request body that is read.
        body_seconds: How long a client may take to send a body.
        client_seconds: How long a client may do nothing in the middle: send no more of a
            request's head, or read nothing of a stream.
        log_file: Where one JSON line a request goes; None writes none.
        log_content: Whether the log also has what was asked and answered.
        stream_period: Most tokens of one streamed chunk; how many there are depends on how much
            runs. 1 sends every token alone.
        allowed_origins: Web pages of these origins may call the API from a browser; `*` is all.
        shutdown_seconds: How long running answers may take after a signal to stop.
    """

    api_keys: tuple[str, ...] = ()
    key_file: Path | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)
    max_running: int | None = 4096
    max_body_bytes: int = 8 * 2**20
    body_seconds: float = 10.0
    client_seconds: float = 30.0
    log_file: Path | None = None
    log_content: bool = False
    stream_period: int = 8
    allowed_origins: tuple[str, ...] = ()
    shutdown_seconds: int = 30
