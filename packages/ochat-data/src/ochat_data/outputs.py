"""Files that appear whole or not at all: written beside, then renamed.

A device or a pipe (`/dev/null`, `/dev/stdout`) cannot be renamed onto; it is written to directly.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import OutputError

if TYPE_CHECKING:
    from types import TracebackType


class WholeFile:
    """A file being written; use as a context manager, or call `commit` or `discard`."""

    def __init__(self, path: Path) -> None:
        """Opens the file beside `path`, making the folder if need be.

        Raises:
            OutputError: Nothing can be written there.
        """
        self._path = path
        if path.is_dir() or not path.name:
            raise OutputError(f"{path} is a folder; name a file, such as records.jsonl")
        special = path.exists() and not path.is_file()
        self._beside = path if special else path.with_name(f".{path.name}.partial")
        try:
            self._beside.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self._beside.open("wb")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        """Appends bytes.

        Raises:
            OutputError: The disk is full, or fails.
        """
        try:
            self._stream.write(data)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error

    def commit(self) -> None:
        """Gives the file its name.

        Raises:
            OutputError: The last bytes could not be written.
        """
        try:
            self._stream.close()
            if self._beside != self._path:
                self._beside.replace(self._path)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error

    def discard(self) -> None:
        """Removes what was written, unless it has been given its name."""
        # A full disk reports itself again on closing; the write has already failed loudly.
        with suppress(OSError):
            self._stream.close()
        if self._beside != self._path:
            self._beside.unlink(missing_ok=True)

    def __enter__(self) -> WholeFile:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commits if the block ended well, discards otherwise."""
        try:
            if error is None:
                self.commit()
        finally:
            self.discard()
