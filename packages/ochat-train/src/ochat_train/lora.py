"""LoRA adapters: put into a model, read and written as PEFT's folders, merged into their base.

The only module that imports peft. An adapter is put into the model in place: the model stays the
transformers class it was, so packing, probe and loss see no difference.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .errors import CheckpointError, ConfigError, ModelError, first_line
from .forward import embedding_table

# PEFT imports it where it is installed, and then it tells of a kernel that is missing.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
try:
    from peft import LoraConfig, PeftModel, get_peft_model
except ImportError as error:
    raise ConfigError(
        f"LoRA adapters need PEFT ({error}); install it: pip install 'ochat-train[lora]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from transformers import PreTrainedModel

    from .config import TrainConfig

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# PEFT's names: its two wrappers before the model's own, and no name of the adapter.
_PREFIX, _ADAPTER = "base_model.model.", ".default"
_ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter inside a model.

    Attributes:
        settings: as PEFT writes them.
        names: of the adapter's tensors in the model's state dict; trained tables of embeddings
            are among them.
        trainable: parameters that are trained.
        total: all parameters.
    """

    settings: LoraConfig
    names: tuple[str, ...]
    trainable: int
    total: int

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"LoRA of rank {self.settings.r}, alpha {self.settings.lora_alpha:g}, on "
            f"{', '.join(self.settings.target_modules or ())}: {self.trainable:,} of "
            f"{self.total:,} parameters are trained ({self.trainable / self.total:.2%})"
        )


def is_adapter(folder: Path) -> bool:
    """Whether a folder is an adapter's."""
    return (folder / ADAPTER_CONFIG).is_file()


def add_adapter(model: PreTrainedModel, config: TrainConfig) -> Adapter:
    """Freezes `model` and puts a new adapter of the run's settings into it, in float32.

    Its matrices are drawn from the run's seed, so all ranks draw the same.

    Raises:
        ModelError: the model has no modules of the wanted names.
    """
    names = [name.strip() for name in config.lora_targets.split(",")]
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        # PEFT's annotation says int, and some programs read nothing else; it only divides.
        lora_alpha=int(config.alpha) if config.alpha.is_integer() else cast("int", config.alpha),
        lora_dropout=config.lora_dropout,
        target_modules=_ALL_LINEAR if names == [_ALL_LINEAR] else names,
    )
    torch.manual_seed(config.seed)
    try:
        with _quietly():
            wrapped = get_peft_model(model, settings)
    except ValueError as error:
        raise ModelError(
            f"--lora-targets {config.lora_targets} does not fit model type "
            f"{model.config.model_type!r} ({first_line(error)}); its linear layers are "
            f"{', '.join(sorted(_linear_names(model)))}"
        ) from error
    settings = cast("LoraConfig", wrapped.peft_config["default"])
    settings.target_modules = sorted(_short_names(model, set(settings.target_modules or ())))
    settings.base_model_name_or_path = str(config.model.resolve())
    if config.lora_embeddings:
        settings.modules_to_save = _train_embeddings(model)
        # One table in both places, where the model has but one.
        settings.ensure_weight_tying = bool(getattr(model.config, "tie_word_embeddings", False))
    _refuse_output_layer(model, config)
    # A table that serves in two places has two names, and PEFT reads both.
    named = model.named_parameters(remove_duplicate=False)
    trained = {each for each in model.parameters() if each.requires_grad}
    return Adapter(
        settings=settings,
        names=tuple(name for name, each in named if each.requires_grad),
        trainable=sum(each.numel() for each in trained),
        total=sum(_count(parameter) for parameter in model.parameters()),
    )


def untrained_rows(model: PreTrainedModel, tokens: Mapping[str, int]) -> list[str]:
    """The control tokens whose embeddings were never trained: zero, or the mean of others.

    An adapter leaves the table as it is, so such a token stays what it was when it was added.
    """
    table = embedding_table(model).detach()
    found: list[str] = []
    for token, token_id in tokens.items():
        row, before = table[token_id].float(), table[:token_id].float()
        mean = before.mean(dim=0) if token_id else row.new_zeros(row.shape)
        if not bool(row.any()) or float((row - mean).norm()) < 0.02 * float(mean.norm()):
            found.append(token)
    return found


def write_adapter(adapter: Adapter, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Writes an adapter into an existing folder.

    Args:
        adapter: says which of the weights it is.
        weights: whole, by the names in the model that is trained.
        folder: gets `adapter_config.json` and `adapter_model.safetensors`.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name in adapter.names:
        # Tied tables share memory, which a file of tensors cannot express.
        tensors[_public_name(name)] = weights[name].detach().to("cpu").clone().contiguous()
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    adapter.settings.inference_mode = True
    adapter.settings.save_pretrained(str(folder))
    adapter.settings.inference_mode = False


@torch.no_grad()
def read_adapter(model: PreTrainedModel, adapter: Adapter, folder: Path) -> None:
    """Puts the values of a written adapter into a model that `add_adapter` has prepared.

    Raises:
        CheckpointError: the file is damaged or another adapter's.
    """
    file = folder / ADAPTER_WEIGHTS
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {file}: {first_line(error)}") from error
    wanted = {_public_name(name): name for name in adapter.names}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if stored.keys() != wanted.keys():
        odd = min(stored.keys() ^ wanted.keys())
        raise CheckpointError(f"{file} is another adapter's: it differs in tensor {odd!r}")
    for public, tensor in stored.items():
        parameter = parameters[wanted[public]]
        if parameter.shape != tensor.shape:
            raise CheckpointError(
                f"{file}: tensor {public!r} has shape {tuple(tensor.shape)}, the run's "
                f"{tuple(parameter.shape)}"
            )
        parameter.copy_(tensor)


def adapted(base: PreTrainedModel, folder: Path) -> PeftModel:
    """A base model with the adapter of a folder, loaded as anybody would.

    Raises:
        ModelError: the folder's adapter does not fit this base.
    """
    try:
        with _quietly():
            return PeftModel.from_pretrained(base, str(folder)).eval()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"cannot load the adapter {folder}: {first_line(error)}") from error


def base_of(folder: Path) -> Path:
    """The base model that an adapter's folder names.

    Raises:
        ModelError: it cannot be read, or names none.
    """
    try:
        with _quietly():
            named = LoraConfig.from_pretrained(str(folder)).base_model_name_or_path
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"cannot read {folder / ADAPTER_CONFIG}: {first_line(error)}") from error
    if not named:
        raise ModelError(f"{folder / ADAPTER_CONFIG} names no base model; give it with --base")
    return Path(named)


def merged(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """A base model, in float32, with the adapter of a folder added to its own weights."""
    model = adapted(base, folder).merge_and_unload(safe_merge=True)
    # PEFT leaves its settings on the model, which is no adapter any more.
    vars(model).pop("peft_config", None)
    return model


def _public_name(name: str) -> str:
    return _PREFIX + name.replace(_ADAPTER + ".", ".")


def _count(parameter: torch.Tensor) -> int:
    """Numbers in a tensor; a byte of a 4-bit one holds two."""
    return parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1)


def _linear_names(model: PreTrainedModel) -> set[str]:
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings()
    }


def _short_names(model: PreTrainedModel, full: set[str]) -> set[str]:
    """Last parts of the names where they say the same: what other programs expect to read."""
    short = {name.rpartition(".")[2] for name in full}
    # In a model with adapters, the module that was there before is the `base_layer` of its own.
    named = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in short}
    adapted_ones = {name for name in named if hasattr(model.get_submodule(name), "base_layer")}
    return short if named == adapted_ones else full


def _train_embeddings(model: PreTrainedModel) -> list[str]:
    """Trains the tables whole, in float32; returns their names without those of their parents."""
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    names: list[str] = []
    for name, module in model.named_modules():
        if any(module is table for table in tables):
            module.float().requires_grad_(requires_grad=True)
            names.append(name.rpartition(".")[2])
    return names


def _refuse_output_layer(model: PreTrainedModel, config: TrainConfig) -> None:
    """The loss multiplies with the output layer itself, past an adapter on it."""
    head = model.get_output_embeddings()
    if head is not None and any(".lora_" in f".{name}" for name, _ in head.named_parameters()):
        raise ModelError(
            f"--lora-targets {config.lora_targets} puts an adapter on the output layer, which the "
            "loss does not apply; leave it out, or train that layer whole with --lora-embeddings"
        )


@contextmanager
def _quietly() -> Generator[None]:
    """PEFT 0.21 asks models for an attribute that transformers 5.24 has renamed, which warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
