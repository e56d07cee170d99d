"""Names a rank that is lost: whose process hangs, died, or whose machine is cut off.

Every rank counts up a number in the store through which the ranks met, from a thread of its own, so
that slow saves and long steps do not matter. Who falls silent is named by all others, who then end
themselves: they would wait for it in a collective operation for half an hour.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .rank_log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

# Beats in the time after which silence counts; a few may be late.
_BEATS = 10
_LONGEST_INTERVAL_SECONDS = 2.0
EXIT_LOST = 76


class Store(Protocol):
    """What is used of torch.distributed's stores."""

    def set(self, key: str, value: str, /) -> None:
        """Sets a value."""
        ...

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        """Gets values, waiting for those that are not there yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This rank among all.

    Attributes:
        rank: this process.
        world_size: ranks.
        server: the machine that holds the store.
    """

    rank: int
    world_size: int
    server: str


class Heartbeat:
    """Beats for this rank and listens for the others."""

    def __init__(
        self,
        store: Store,
        ranks: Ranks,
        seconds: float,
        lost: Callable[[str], None],
    ) -> None:
        """Prepares; `listening` starts.

        Args:
            store: a connection that nothing else uses, since a cut one blocks.
            ranks: who we are.
            seconds: silence after which a rank is lost.
            lost: called once with a sentence that names the lost rank.
        """
        self._store, self._ranks, self._seconds, self._lost = store, ranks, seconds, lost
        self._stop = threading.Event()
        # Short, so that a broken connection is explained at once.
        self.interval = min(_LONGEST_INTERVAL_SECONDS, seconds / _BEATS)
        now = time.monotonic()
        self._heard = [now] * ranks.world_size
        self._values = [b""] * ranks.world_size
        self._answered = now

    @contextmanager
    def listening(self) -> Generator[Heartbeat]:
        """Beats and listens as long as the block lasts."""
        threads = [
            threading.Thread(target=target, daemon=True, name=target.__name__)
            for target in (self._beat, self._watch)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()

    def silent(self, seconds: float) -> Sequence[int]:
        """Ranks of which nothing was heard for so long, as of the store's last answer.

        A store that does not answer says nothing about them: then this machine may be the one that
        is cut off.
        """
        return [r for r, heard in enumerate(self._heard) if self._answered - heard > seconds]

    def name(self, rank: int) -> str:
        """A rank with its machine, as it introduced itself."""
        told = self._values[rank].decode().rpartition(" ")[0]
        return f"rank {rank} ({told})" if told else f"rank {rank}"

    def _beat(self) -> None:
        """Tells and hears; blocks for good where the store's machine is cut off."""
        us = f"machine {socket.gethostname()}, process {os.getpid()}"
        keys = [f"ochat/beat/{rank}" for rank in range(self._ranks.world_size)]
        count = 0
        while not self._stop.is_set():
            count += 1
            try:
                self._store.set(keys[self._ranks.rank], f"{us} {count}")
                values = self._store.multi_get(keys)
            except (RuntimeError, OSError):
                values = None  # the watch says so when it lasts
            now = time.monotonic()
            if values is not None:
                for rank, value in enumerate(values):
                    if value != self._values[rank]:
                        self._values[rank], self._heard[rank] = value, now
                # Last: `silent` measures the others' silence against it.
                self._answered = now
            self._stop.wait(self.interval)

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            if time.monotonic() - self._answered > self._seconds:
                self._lost(
                    f"the machine that the ranks met at ({self._ranks.server}) has not answered "
                    f"for {self._seconds:g} s: it is down, or this machine is cut off; start all "
                    "ranks again with --resume"
                )
                return
            if silent := self.silent(self._seconds):
                names = ", ".join(self.name(rank) for rank in silent)
                self._lost(
                    f"lost {names}: no sign of life for {self._seconds:g} s, so the process hangs "
                    "or died, or its machine is cut off; start all ranks again with --resume"
                )
                return


def end_process(sentence: str) -> None:
    """Says what was lost and ends this process, whose main thread waits where nothing wakes it."""
    rank = os.environ.get("RANK", "?")
    LOG.error(sentence)
    sys.stderr.write(f"ochat-train (rank {rank}): {sentence}\n")
    sys.stderr.flush()
    os._exit(EXIT_LOST)
