"""One JSON line for every chat request that reached the engine, whatever became of it.

Numbers only: neither texts nor keys are written.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from ochat_serve.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from ochat_serve.chat import PreparedChat

# The sizes of OpenChat's own server.
_FILE_BYTES = 128 * 2**20
_OLD_FILES = 10


class RequestLog:
    """Writes the lines; without a file it does nothing."""

    def __init__(self, file: Path | None) -> None:
        """Open the file for appending.

        Raises:
            SetupError: It cannot be written.
        """
        self._handler: RotatingFileHandler | None = None
        if file is None:
            return
        try:
            self._handler = RotatingFileHandler(
                file, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
            )
        except OSError as error:
            raise SetupError(
                f"The log file {file} cannot be written ({error.strerror}); choose another one."
            ) from error

    def write(
        self, chat: PreparedChat, *, completion_tokens: int, seconds: float, outcome: str
    ) -> None:
        """Add a line.

        Args:
            chat: The request.
            completion_tokens: Tokens generated for all its answers.
            seconds: From the first work of the engine to the end of the response.
            outcome: The finish reasons, or `disconnected`, or `error`.
        """
        if self._handler is None:
            return
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "id": chat.request_id,
                "model": chat.request.model,
                "condition": chat.request.condition,
                "n": chat.request.n,
                "prompt_tokens": len(chat.prompt_ids),
                "completion_tokens": completion_tokens,
                "seconds": round(seconds, 4),
                "outcome": outcome,
            }
        )
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()
