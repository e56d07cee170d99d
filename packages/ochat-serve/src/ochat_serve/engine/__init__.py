"""Engines: the protocol, and one module for each engine that fulfils it.

Only `create_engine` knows which module an engine's name stands for; heavy libraries are imported
in the module of the engine that needs them.
"""

from __future__ import annotations

from ochat_serve.engine.base import (
    ALL_CAPABILITIES,
    Engine,
    FinishReason,
    SamplingParams,
    TokenEvent,
    TokenLogprobs,
)
from ochat_serve.engine.scripted import RecordedRequest, ScriptedEngine

__all__ = [
    "ALL_CAPABILITIES",
    "Engine",
    "FinishReason",
    "RecordedRequest",
    "SamplingParams",
    "ScriptedEngine",
    "TokenEvent",
    "TokenLogprobs",
]
