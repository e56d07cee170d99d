"""One JSON line for every request to the API, whatever became of it.

Numbers and names; texts only where the record carries them, keys never.
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

    from ochat_serve.record import RequestRecord

# The sizes of OpenChat's own server.
_FILE_BYTES = 128 * 2**20
_OLD_FILES = 10


class RequestLog:
    """Writes the lines; without a file it does nothing."""

    def __init__(self, file: Path | None, *, file_bytes: int = _FILE_BYTES) -> None:
        """Open the file for appending.

        Args:
            file: Where the lines go; None writes none.
            file_bytes: A file of this size is put aside, and the oldest of ten is dropped.

        Raises:
            SetupError: It cannot be written.
        """
        self._handler: RotatingFileHandler | None = None
        if file is None:
            return
        try:
            self._handler = RotatingFileHandler(
                file, maxBytes=file_bytes, backupCount=_OLD_FILES, encoding="utf-8"
            )
        except OSError as error:
            raise SetupError(
                f"The log file {file} cannot be written ({error.strerror}); choose another one."
            ) from error

    def write(
        self, record: RequestRecord, *, seconds: float, first_token_seconds: float | None
    ) -> None:
        """Add a line.

        Args:
            record: The request.
            seconds: From the request to the end of the response.
            first_token_seconds: From the request to the first token, where there was one.
        """
        if self._handler is None:
            return
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.time, UTC).isoformat(timespec="milliseconds"),
            "method": record.method[:20],
            "path": record.path[:200],
            "status": record.status,
            "key": record.key,
            "client": record.client,
            "seconds": round(seconds, 4),
            "outcome": record.outcome or ("error" if record.status >= 400 else "ok"),
            "error": record.error,
        }
        if record.request_id:
            first = None if first_token_seconds is None else round(first_token_seconds, 4)
            line |= {
                "id": record.request_id,
                "model": record.model,
                "condition": record.condition,
                "n": record.answers,
                "prompt_tokens": record.prompt_tokens,
                "completion_tokens": record.completion_tokens,
                "first_token_seconds": first,
            }
        if record.texts is not None:
            line |= {"prompt": record.prompt, "texts": record.texts}
        self._handler.emit(logging.makeLogRecord({"msg": json.dumps(line)}))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()
