"""Padding-free, exactly weighted fine-tuning of any Hugging Face causal LM.

    from pathlib import Path
    from ochat_train import TrainConfig, train

    result = train(TrainConfig(model=Path("base"), data=Path("tokens"), output=Path("run")))

Importing this package loads no torch; the names that need it load it when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .config import TrainConfig
from .errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    EngineError,
    IsolationError,
    ModelError,
    OutputError,
    StoppedError,
    TrainError,
)

if TYPE_CHECKING:
    from .held_out import HeldOutFigures, HeldOutResult
    from .isolation import probe_isolation
    from .run import TrainResult, train

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "EngineError",
    "HeldOutFigures",
    "HeldOutResult",
    "IsolationError",
    "ModelError",
    "OutputError",
    "StoppedError",
    "TrainConfig",
    "TrainError",
    "TrainResult",
    "probe_isolation",
    "train",
]

_HOMES = {
    "HeldOutFigures": "held_out",
    "HeldOutResult": "held_out",
    "TrainResult": "run",
    "probe_isolation": "isolation",
    "train": "run",
}


def __getattr__(name: str) -> object:
    """Loads a public name that needs torch when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
