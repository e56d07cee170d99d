"""Every rank's own log file: what it did when, what libraries logged, and how it ended.

The screen belongs to rank 0 (`progress`); when one of many ranks goes wrong, its file tells.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import TrainError
from .files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"
_FIGURES = ("event", "step", "epoch", "loss", "grad_norm", "tokens_per_second")
LOG = logging.getLogger("ochat_train")


@contextmanager
def rank_log(output: Path, rank: int, world_size: int) -> Generator[None]:
    """Logs to `OUTPUT/logs/rank-00000.log` as long as the block lasts, and what ends it."""
    folder = output / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"rank-{rank:05d}.log").open("a", encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from error
    with file as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(_FORMAT))
        root = logging.getLogger()
        before = LOG.level
        root.addHandler(handler)
        LOG.setLevel(logging.INFO)
        # A crash inside a native library leaves where Python was.
        faulthandler.enable(stream)
        LOG.info(
            "rank %d of %d on %s, process %d", rank, world_size, socket.gethostname(), os.getpid()
        )
        try:
            yield
            LOG.info("ended")
        except TrainError as error:
            LOG.error("%s: %s", type(error).__name__, error)
            raise
        except BaseException:
            LOG.exception("ended by an error")
            raise
        finally:
            faulthandler.disable()
            root.removeHandler(handler)
            LOG.setLevel(before)


class LogSink:
    """Writes a step's figures as a line of the log."""

    def write(self, *events: Mapping[str, Any]) -> None:
        """Logs the figures of steps."""
        for event in events:
            LOG.info(" ".join(f"{name}={event[name]}" for name in _FIGURES if name in event))

    def close(self) -> None:
        """Nothing to close: the log lives longer than the loop."""
