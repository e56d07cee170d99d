"""Who may be served now: requests and tokens a minute and at once of a key, and of the server.

Decides before anything is sent, for streams too; which status says so is `ochat_serve.http`'s
business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ochat_serve.errors import TooBusyError

if TYPE_CHECKING:
    from ochat_serve.keys import ApiKey, KeyLimits

_MINUTE = 60.0
_RETRY_WHEN_FULL_SECONDS = 1.0
_OPEN_NAME = ""


class Bucket:
    """So many units a minute, refilled steadily; may go into debt, which is paid off by waiting."""

    def __init__(self, per_minute: int) -> None:
        """Begin full."""
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at = time.monotonic()

    def level(self) -> float:
        """Units that are there now."""
        now = time.monotonic()
        gained = (now - self._at) * self.per_minute / _MINUTE
        self._level = min(float(self.per_minute), self._level + gained)
        self._at = now
        return self._level

    def take(self, units: float) -> None:
        """Take units, whether they are there or not."""
        self._level = self.level() - units

    def seconds_until(self, units: float) -> float:
        """How long until so many units are there."""
        return max(0.0, units - self.level()) * _MINUTE / self.per_minute


@dataclass(slots=True)
class _Usage:
    """What one key uses."""

    limits: KeyLimits
    running: int = 0
    requests: Bucket | None = None
    tokens: Bucket | None = None

    def follow(self, limits: KeyLimits) -> None:
        """Take limits that changed in the key file; what is left of an unchanged one stays."""
        if limits.rpm != (self.requests.per_minute if self.requests else None):
            self.requests = Bucket(limits.rpm) if limits.rpm else None
        if limits.tpm != (self.tokens.per_minute if self.tokens else None):
            self.tokens = Bucket(limits.tpm) if limits.tpm else None
        self.limits = limits


class Admission:
    """Counts what runs, and lets in what may run."""

    def __init__(self, max_running: int | None = None) -> None:
        """Take how many requests may run at once in the whole server; None is no limit."""
        self._max_running = max_running
        self._usages: dict[str, _Usage] = {}
        self.running = 0

    def enter(self, key: ApiKey | None, limits: KeyLimits) -> Ticket:
        """Let a request in.

        Args:
            key: Whose it is; requests without keys share one account.
            limits: What the account may use.

        Raises:
            TooBusyError: A limit is reached.
        """
        name = key.name if key else _OPEN_NAME
        usage = self._usages.setdefault(name, _Usage(limits))
        usage.follow(limits)
        self._require_room(usage)
        if usage.requests:
            usage.requests.take(1)
        usage.running += 1
        self.running += 1
        return Ticket(self, usage)

    def _require_room(self, usage: _Usage) -> None:
        limits = usage.limits
        if limits.concurrency is not None and usage.running >= limits.concurrency:
            raise TooBusyError(
                f"This key may have {limits.concurrency} requests at the same time.",
                retry_seconds=_RETRY_WHEN_FULL_SECONDS,
            )
        if usage.requests and (wait := usage.requests.seconds_until(1)):
            raise TooBusyError(
                f"This key may send {limits.rpm} requests a minute.", retry_seconds=wait
            )
        if usage.tokens and (wait := usage.tokens.seconds_until(1)):
            raise TooBusyError(
                f"This key may use {limits.tpm} tokens a minute.", retry_seconds=wait
            )
        if self._max_running is not None and self.running >= self._max_running:
            raise TooBusyError(
                f"The server is answering {self.running} requests, as many as it takes.",
                retry_seconds=_RETRY_WHEN_FULL_SECONDS,
                of_server=True,
                code="server_overloaded",
            )


class Ticket:
    """A request that was let in; must be left exactly once."""

    def __init__(self, admission: Admission, usage: _Usage) -> None:
        """Made by `Admission.enter`."""
        self._admission, self._usage = admission, usage

    def leave(self, tokens: int) -> None:
        """Give the place back, and account the tokens that were used."""
        self._admission.running -= 1
        self._usage.running -= 1
        if self._usage.tokens:
            self._usage.tokens.take(tokens)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What is left, in OpenAI's header names."""
        rows: list[tuple[bytes, bytes]] = []
        for kind, bucket in (("requests", self._usage.requests), ("tokens", self._usage.tokens)):
            if bucket is None:
                continue
            left = max(0, int(bucket.level()))
            full = bucket.seconds_until(bucket.per_minute)
            for word, value in (
                ("limit", str(bucket.per_minute)),
                ("remaining", str(left)),
                ("reset", f"{full:.3f}s"),
            ):
                rows.append((f"x-ratelimit-{word}-{kind}".encode(), value.encode()))
        return rows
