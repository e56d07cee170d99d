"""Turns the error of a broken collective operation into a sentence that names the lost rank.

Gloo and NCCL say which address went away, if anything; the heartbeat knows who is silent.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import EngineError, TrainError, first_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from .heartbeat import Heartbeat

# Words of Gloo's, NCCL's and torch's messages when a peer is gone.
_SIGNS = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "TCPStore")
# A launcher gives the others half a minute when one process has ended.
_PATIENCE_SECONDS = 10.0


@contextmanager
def watched(heartbeat: Heartbeat) -> Generator[None]:
    """Listens as long as the block lasts, and names who is lost when a connection breaks in it.

    Raises:
        EngineError: instead of what the communication library raised.
    """
    with heartbeat.listening():
        try:
            yield
        except TrainError:
            raise
        except (RuntimeError, OSError) as error:
            if not connection_broke(error):
                raise
            raise EngineError(
                f"{_who(heartbeat)}, so the connection broke ({first_line(error)}); read "
                "OUTPUT/logs of that rank, and start all ranks again with --resume"
            ) from error


def connection_broke(error: Exception) -> bool:
    """Whether another rank is gone, by what the communication library says."""
    return any(sign in str(error) for sign in _SIGNS)


def _who(heartbeat: Heartbeat) -> str:
    """Names who fell silent about now; who ended in order says so in its own message."""
    # Two intervals longer than the silence: their last beat and our last look may be one ago each.
    time.sleep(min(_PATIENCE_SECONDS, 5 * heartbeat.interval))
    silent = heartbeat.silent(2.5 * heartbeat.interval)
    if not silent:
        return "another rank ended"
    return f"lost {', '.join(map(heartbeat.name, silent))}"
