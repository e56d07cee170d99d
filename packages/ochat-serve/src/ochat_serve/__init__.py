"""OpenAI-compatible chat server for OpenChat models.

    from ochat_serve import ScriptedEngine, ServedModel, build_app

    app = build_app(ScriptedEngine(), ServedModel.of(codec))

Importing this package loads neither an engine's libraries nor the web framework; names that need
them are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ochat_serve.chat import ChatMessage, ChatRequest, ChatService, Delta, PreparedChat
from ochat_serve.chat.model import ServedModel
from ochat_serve.engine import (
    Engine,
    FinishReason,
    RecordedRequest,
    SamplingParams,
    ScriptedEngine,
    TokenEvent,
)
from ochat_serve.engine.create import EngineOptions, create_engine, resolve_engine_name
from ochat_serve.errors import (
    AuthenticationError,
    BodyTooLargeError,
    ContextLengthError,
    EngineDeadError,
    EngineError,
    ModelNotFoundError,
    RequestError,
    ServeError,
    SetupError,
    UnsupportedParameterError,
)
from ochat_serve.model_folder import ModelFolder, open_model_folder
from ochat_serve.settings import ServerSettings

if TYPE_CHECKING:
    from ochat_serve.http import build_app

__all__ = [
    "AuthenticationError",
    "BodyTooLargeError",
    "ChatMessage",
    "ChatRequest",
    "ChatService",
    "ContextLengthError",
    "Delta",
    "Engine",
    "EngineDeadError",
    "EngineError",
    "EngineOptions",
    "FinishReason",
    "ModelFolder",
    "ModelNotFoundError",
    "PreparedChat",
    "RecordedRequest",
    "RequestError",
    "SamplingParams",
    "ScriptedEngine",
    "ServeError",
    "ServedModel",
    "ServerSettings",
    "SetupError",
    "TokenEvent",
    "UnsupportedParameterError",
    "build_app",
    "create_engine",
    "open_model_folder",
    "resolve_engine_name",
]

_LAZY = {"build_app": "ochat_serve.http"}


def __getattr__(name: str) -> object:
    """Load what needs the web framework when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
