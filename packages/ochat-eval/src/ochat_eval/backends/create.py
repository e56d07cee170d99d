"""Which backend a run's configuration means; imports the chosen one and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ochat_eval.backends.base import Backend
    from ochat_eval.config import RunConfig


def create_backend(config: RunConfig) -> Backend:
    """Make the backend, which is opened with `async with`.

    Raises:
        ServerError: The configuration cannot be right for it.
    """
    if config.backend == "serve":
        from ochat_eval.backends.spawned import SpawnedBackend

        return SpawnedBackend(config)
    if config.backend == "engine":
        from ochat_eval.backends.engine import EngineBackend

        return EngineBackend(config)
    if config.backend == "replay":
        from ochat_eval.backends.replay import ReplayBackend

        return ReplayBackend(config)
    from ochat_eval.backends.http import HttpBackend

    return HttpBackend(config)
