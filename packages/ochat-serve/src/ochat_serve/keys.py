"""API keys: where they come from, whom they belong to, what each may use.

Only digests are kept. How a request carries a key is `ochat_serve.http`'s business.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import time
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from ochat_serve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_CHECK_SECONDS = 1.0
_LIMIT_WORDS = ("rpm", "tpm", "concurrency")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """What a key may use; None is no limit.

    Attributes:
        rpm: Requests a minute.
        tpm: Tokens a minute, of prompts and answers.
        concurrency: Requests at the same time.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as the server knows it.

    Attributes:
        name: What logs and metrics call it; never the key itself.
        digest: SHA-256 of the key.
        limits: What it may use.
    """

    name: str
    digest: bytes
    limits: KeyLimits

    @property
    def salt(self) -> str:
        """Keeps this key's cached prefixes from other keys."""
        return sha256(b"ochat-serve prefix cache\0" + self.digest).hexdigest()[:32]


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


class KeyRing:
    """All keys; those of a file follow its changes without a restart."""

    def __init__(
        self, keys: Iterable[str] = (), *, file: Path | None = None, limits: KeyLimits | None = None
    ) -> None:
        """Take keys and read the file.

        Args:
            keys: Keys in the clear, from the command line or the environment.
            file: Lines of `NAME SHA256 [rpm=N] [tpm=N] [concurrency=N]`; `#` begins a comment.
            limits: What a key may use where the file does not say.

        Raises:
            SetupError: The file cannot be read, or a line is wrong.
        """
        self._limits = limits or KeyLimits()
        self._given = [
            ApiKey(name=f"key-{n}", digest=digest(key), limits=self._limits)
            for n, key in enumerate(dict.fromkeys(keys), 1)
        ]
        self._file = file
        self._from_file = [] if file is None else read_key_file(file, self._limits)
        self._stamp = self._file_stamp()
        self._checked = time.monotonic()

    @property
    def closed(self) -> bool:
        """Whether a key is needed: an empty file leaves nobody in, and not everybody."""
        return bool(self._given) or self._file is not None

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._given) + len(self._from_file)

    def find(self, key: str) -> ApiKey | None:
        """The key's entry, compared in constant time and always with all entries."""
        self._follow_file()
        wanted = digest(key)
        found: ApiKey | None = None
        for entry in (*self._given, *self._from_file):
            if hmac.compare_digest(entry.digest, wanted):
                found = entry
        return found

    def reload(self) -> None:
        """Read the file again; a wrong one changes nothing and is reported."""
        if self._file is None:
            return
        self._stamp = self._file_stamp()
        try:
            self._from_file = read_key_file(self._file, self._limits)
        except SetupError as error:
            logging.getLogger(__name__).error("%s The keys from before stay.", error)

    def _follow_file(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._checked < _CHECK_SECONDS:
            return
        self._checked = now
        if self._file_stamp() != self._stamp:
            self.reload()

    def _file_stamp(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_key_file(file: Path, limits: KeyLimits) -> list[ApiKey]:
    """The entries of a key file.

    Raises:
        SetupError: It cannot be read, or a line is wrong; the message has its number.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SetupError(f"The key file {file} cannot be read ({reason}).") from error
    entries: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        entry = _entry(words, limits, where=f"{file}:{number}")
        if entry.name in entries:
            raise SetupError(f"{file}:{number}: the name {entry.name} stands twice.")
        entries[entry.name] = entry
    return list(entries.values())


def _entry(words: list[str], limits: KeyLimits, *, where: str) -> ApiKey:
    if len(words) < 2 or not _NAME.fullmatch(words[0]) or not _DIGEST.fullmatch(words[1]):
        # The line is not shown: somebody may have put a key into it.
        raise SetupError(
            f"{where}: expected NAME SHA256 [rpm=N] [tpm=N] [concurrency=N]; "
            "make a line with: ochat-serve keys new NAME."
        )
    changed: dict[str, int] = {}
    for word in words[2:]:
        name, _, value = word.partition("=")
        if name not in _LIMIT_WORDS or not (value.isascii() and value.isdigit() and int(value)):
            raise SetupError(f"{where}: expected one of {', '.join(_LIMIT_WORDS)} as WORD=NUMBER.")
        changed[name] = int(value)
    return ApiKey(name=words[0], digest=bytes.fromhex(words[1]), limits=replace(limits, **changed))


def new_key(name: str) -> tuple[str, str]:
    """A fresh key, and the line of a key file that knows it.

    Raises:
        SetupError: The name cannot stand in a key file.
    """
    if not _NAME.fullmatch(name):
        raise SetupError(f"Expected a name of letters, digits and ._@-, got {name[:64]!r}.")
    key = "sk-" + secrets.token_urlsafe(32)
    return key, f"{name} {digest(key).hex()}"
