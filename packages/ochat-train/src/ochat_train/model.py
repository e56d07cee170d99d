"""Reading a model folder: its config, its weights, and whether it fits a token dataset.

Says in one sentence what is wrong with a folder before anything large is loaded.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from .errors import ModelError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel

_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Of each weight file: everything of a small one, 64 MiB spread over a large one.
_SAMPLES, _SAMPLE_BYTES = 1024, 1 << 16


def read_config(folder: Path) -> PreTrainedConfig:
    """Reads `config.json` of a model folder.

    Raises:
        ModelError: there is no such folder or file, or transformers does not know the model type.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is not a model folder: it has no config.json; give the folder of a "
            "Hugging Face causal language model"
        )
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"cannot read {folder / 'config.json'}: {first_line(error)}") from error


def has_weights(folder: Path) -> bool:
    """Whether the folder holds weights."""
    return any((folder / name).is_file() for name in _WEIGHT_FILES)


def require_weights(folder: Path) -> None:
    """Refuses a folder that holds no weights.

    Raises:
        ModelError: with the flag that makes new weights.
    """
    if not has_weights(folder):
        raise ModelError(
            f"{folder} has a config.json but no weights (model.safetensors); copy them there, or "
            "pass --from-scratch to initialise a new model from the config"
        )


def weights_digest(folder: Path) -> str:
    """SHA-256 of samples of a folder's weight files, which tells trained models apart in seconds.

    Raises:
        ModelError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in sorted(f for f in folder.iterdir() if f.suffix in {".safetensors", ".bin"}):
            size = file.stat().st_size
            digest.update(f"{file.name} {size}".encode())
            with file.open("rb") as stream:
                for start in range(0, size, max(_SAMPLE_BYTES, size // _SAMPLES)):
                    stream.seek(start)
                    digest.update(stream.read(_SAMPLE_BYTES))
    except OSError as error:
        raise ModelError(f"cannot read the weights of {folder}: {first_line(error)}") from error
    return digest.hexdigest()


def require_fit(
    config: PreTrainedConfig,
    *,
    vocab_size: int,
    longest: int,
    positions: int | None,
    from_scratch: bool,
) -> None:
    """Refuses a model too small for the dataset.

    Args:
        config: of the model.
        vocab_size: rows that the dataset's tokens need.
        longest: tokens of the longest example.
        positions: that the model is made for; None is any number.
        from_scratch: whether the model is yet to be initialised, which decides the remedy.

    Raises:
        ModelError: too few embedding rows or positions.
    """
    text = config.get_text_config()
    rows = text.vocab_size
    if rows < vocab_size:
        remedy = (
            f'set "vocab_size": {vocab_size} (or more) in its config.json'
            if from_scratch
            else "add them with: ochat-train add-tokens --model MODEL --tokens TOKEN --output NEW"
        )
        raise ModelError(
            f"the model has {rows} embedding rows but the dataset's tokens need {vocab_size}, "
            f"control tokens included: {remedy}"
        )
    if positions is not None and longest > positions:
        raise ModelError(
            f"the longest example has {longest} tokens but the model has {positions} positions; "
            f"tokenize with --max-length {positions}, pass --overlong cut or --overlong drop, or "
            "stretch the model's positions with --rope-scaling"
        )


def create_model(
    folder: Path, config: PreTrainedConfig, *, from_scratch: bool, seed: int
) -> PreTrainedModel:
    """Makes the model in float32 on the CPU, from its weights or from `seed`.

    Raises:
        ModelError: weights are damaged, of another shape, or incomplete.
    """
    try:
        if from_scratch:
            torch.manual_seed(seed)
            return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        return _load(folder, torch.float32, config)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"cannot create the model of {folder}: {first_line(error)}") from error


def enable_gradient_checkpointing(model: PreTrainedModel, *, offload: bool = False) -> None:
    """Makes a model compute each layer's activations again in the backward pass.

    Args:
        model: to change.
        offload: keep what each layer begins with in the host's memory until then.

    Raises:
        ModelError: the architecture cannot.
    """
    # Transformers renamed it in 5.24.
    enable = (
        getattr(model, "activation_checkpointing_enable", None)
        or model.gradient_checkpointing_enable
    )
    try:
        # The reentrant kind would lose the packing that the batch in flight carries.
        enable({"use_reentrant": False})
    except (ValueError, NotImplementedError) as error:
        raise ModelError(
            f"model type {model.config.model_type!r} has no gradient checkpointing; leave "
            "--gradient-checkpointing out"
        ) from error
    if offload:
        layers: list[Any] = list(model.modules())
        for module in layers:
            if hasattr(module, "_gradient_checkpointing_func"):
                module._gradient_checkpointing_func = _offloaded(
                    module._gradient_checkpointing_func
                )


def _offloaded(checkpoint: Callable[..., object]) -> Callable[..., object]:
    """Torch's checkpointing, with what it keeps on the host; inside of it are hooks of its own."""

    def call(*args: object, **more: object) -> object:
        with torch.autograd.graph.save_on_cpu(pin_memory=torch.cuda.is_available()):
            return checkpoint(*args, **more)

    return call


def load_weights(folder: Path, dtype: torch.dtype | Literal["auto"]) -> PreTrainedModel:
    """Loads a model folder in `dtype` ("auto": as saved) on the CPU.

    Raises:
        ModelError: weights are damaged, of another shape, or incomplete.
    """
    try:
        return _load(folder, dtype)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"cannot load the weights of {folder}: {first_line(error)}") from error


def _load(
    folder: Path, dtype: torch.dtype | Literal["auto"], config: PreTrainedConfig | None = None
) -> PreTrainedModel:
    with no_progress_bars():
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
            # Refused here, since transformers' error only points to a report on the screen.
            ignore_mismatched_sizes=True,
        )
    for name, stored, wanted in sorted(info["mismatched_keys"]):
        raise ModelError(
            f"tensor {name!r} of {folder} has shape {tuple(stored)}, and config.json asks for "
            f"{tuple(wanted)}: weights and config are of different models"
        )
    missing = sorted(info["missing_keys"])
    if missing:
        # transformers would initialise them at random and go on.
        raise ModelError(
            f"the weights of {folder} lack {len(missing)} tensors, the first is {missing[0]!r}; "
            "copy the folder again"
        )
    return model


@contextmanager
def no_progress_bars() -> Generator[None]:
    """Keeps transformers from drawing bars of its own."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
