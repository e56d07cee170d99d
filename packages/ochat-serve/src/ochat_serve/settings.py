"""Settings of the HTTP server, as one frozen record.

What the model and the engine need is given to them directly; the command line fills both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT = 18888  # the seed's published port


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How requests are received.

    Attributes:
        api_keys: Keys that open the API; empty leaves it open to whoever can connect.
        max_body_bytes: Largest request body that is read.
        log_file: Where one JSON line a request goes; None writes none.
        shutdown_seconds: How long running answers may take after a signal to stop.
    """

    api_keys: tuple[str, ...] = ()
    max_body_bytes: int = 8 * 2**20
    log_file: Path | None = None
    shutdown_seconds: int = 30
