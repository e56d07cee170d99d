"""LoRA adapters that are served beside their base model, each under a name of its own.

What is wrong with an adapter's folder is found before any weight is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_serve.errors import SetupError
from ochat_templates import ModelCard, TemplatesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_templates import Codec

# vLLM compiles its kernels for these ranks only.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A folder in PEFT's format.

    Attributes:
        name: What requests call it.
        folder: Holds adapter_config.json and adapter_model.safetensors.
        rank: Its `r`.
        whole_modules: Modules it replaces as a whole (PEFT's `modules_to_save`).
    """

    name: str
    folder: Path
    rank: int
    whole_modules: tuple[str, ...] = ()


def read_adapters(given: Sequence[str], codec: Codec, taken: Sequence[str]) -> tuple[Adapter, ...]:
    """Read and check the adapters of the command line.

    Args:
        given: One `NAME=FOLDER` each.
        codec: Template and tokenizer of the base model.
        taken: Names that the base model answers to.

    Raises:
        SetupError: A folder is no adapter of this model, or a name is used twice.
    """
    adapters: list[Adapter] = []
    for words in given:
        name, separator, folder = words.partition("=")
        if not (name and separator and folder):
            raise SetupError(f"--adapters expects NAME=FOLDER, got {words!r}.")
        if name in taken or name in {adapter.name for adapter in adapters}:
            raise SetupError(f"--adapters: the name {name} is taken; choose another.")
        adapters.append(_read(name, Path(folder), codec))
    return tuple(adapters)


def _read(name: str, folder: Path, codec: Codec) -> Adapter:
    file = folder / "adapter_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        rank = int(config["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(
            f"{folder} is no LoRA adapter: {file.name} cannot be read ({error}); give the folder "
            "that ochat-train or PEFT wrote."
        ) from error
    if not any((folder / f"adapter_model.{ending}").is_file() for ending in ("safetensors", "bin")):
        raise SetupError(f"{folder} has no adapter_model.safetensors; export the adapter again.")
    if (folder / "openchat.json").exists():
        try:
            codec.fingerprint.require_equal(
                ModelCard.read(folder).fingerprint, what=f"the training of {folder}"
            )
        except TemplatesError as error:
            raise SetupError(f"{folder} cannot be served: {str(error).rstrip('.')}.") from error
    whole = tuple(config.get("modules_to_save") or ())
    return Adapter(name=name, folder=folder, rank=rank, whole_modules=whole)


def vllm_arguments(adapters: Sequence[Adapter]) -> list[str]:
    """What vLLM's engine has to be told to make room for adapters.

    Raises:
        SetupError: vLLM cannot run one of them.
    """
    if not adapters:
        return []
    for adapter in adapters:
        if adapter.whole_modules:
            raise SetupError(
                f"{adapter.folder} replaces {', '.join(adapter.whole_modules)} as a whole, which "
                "vLLM cannot do for an adapter; serve the merged model "
                "(ochat-train export ADAPTER --output MERGED), or use --engine transformers."
            )
    rank = max(adapter.rank for adapter in adapters)
    room = next((each for each in _RANKS if each >= rank), None)
    if room is None:
        raise SetupError(f"vLLM runs adapters of rank {_RANKS[-1]} at most, not {rank}.")
    count = str(len(adapters))
    return ["--enable-lora", "--max-lora-rank", str(room), "--max-loras", count]
