"""Writes a trained adapter, alone and merged into its base, and checks each by reading it back.

The adapter's files are PEFT's (see `lora`); beside them lie `openchat.json` and the tokenizer.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from ochat_templates import ModelCard, load_codec

from .errors import ModelError, OutputError
from .export import (
    ModelParts,
    TrainedModel,
    compare_logits,
    plain_logits,
    write_verified,
)
from .files import refuse_occupied, whole_folder
from .lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapted, base_of, merged, write_adapter
from .model import load_weights, read_config, require_weights
from .tokenizer_files import require_same_tokens, write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .lora import Adapter


def write_adapter_folder(
    adapter: Adapter, weights: Mapping[str, torch.Tensor], folder: Path, parts: ModelParts
) -> None:
    """Writes adapter, tokenizer and card into an existing folder."""
    write_adapter(adapter, weights, folder)
    write_tokenizer(parts.tokenizer, folder, parts.codec, context_length=parts.card.context_length)
    parts.card.write(folder)


def export_adapter(
    adapter: Adapter,
    weights: Mapping[str, torch.Tensor],
    logits: torch.Tensor | None,
    folder: Path,
    parts: ModelParts,
    *,
    dtype: torch.dtype,
) -> None:
    """Writes an adapter's folder that appears only when it gives what was trained.

    Args:
        adapter: what was trained.
        weights: whole, by the names in the trained model.
        logits: what the trained model says to the probe; None where its base was quantised, which
            no full-precision base can repeat.
        folder: new or empty.
        parts: tokenizer and card.
        dtype: precision of the training.

    Raises:
        OutputError: the disk refuses, or what was written reads back differently.
    """
    with whole_folder(folder) as beside:
        write_adapter_folder(adapter, weights, beside, parts)
        stored = load_file(beside / ADAPTER_WEIGHTS)
        if any(tensor.numel() == 0 for tensor in stored.values()) or not stored:
            raise OutputError(f"{folder}: the adapter was written empty; export again")
        if logits is not None:
            base = load_weights(parts.tokenizer, torch.float32)
            compare_logits(logits, plain_logits(adapted(base, beside)), folder, dtype)
        require_same_tokens(beside, parts.codec)


def export_merged(
    source: Path, base: Path, folder: Path, parts: ModelParts, *, dtype: torch.dtype
) -> None:
    """Writes the base with a folder's adapter added, as an ordinary model folder.

    The sum is made in float32 and compared with base and adapter side by side.

    Raises:
        ModelError: base and adapter do not fit.
        OutputError: the disk refuses, or what was written reads back differently.
    """
    logits = plain_logits(adapted(load_weights(base, torch.float32), source))
    model = merged(load_weights(base, torch.float32), source)
    trained = TrainedModel(model=model, weights=model.state_dict(), logits=logits)
    write_verified(trained, folder, parts, dtype=dtype)


def export_folder(source: Path, output: Path, *, base: Path | None, merge: bool) -> Path:
    """Writes what an adapter's folder holds to another place, merged or as it is.

    Args:
        source: an adapter's folder, with card and tokenizer.
        output: new or empty folder.
        base: its base model; None is the one that it names.
        merge: whether to add it to the base.

    Raises:
        ModelError: the base is not there, or does not fit.
        OutputError: `output` is not empty, or what was written reads back differently.
    """
    refuse_occupied(output)
    place = base_of(source) if base is None else base
    if base is None and not place.is_dir():
        raise ModelError(
            f"the base of the adapter {source} was {place}, which is not here; give it with --base"
        )
    read_config(place)
    require_weights(place)
    card = ModelCard.read(source)
    parts = ModelParts(tokenizer=source, codec=load_codec(source, card.model_type), card=card)
    if merge:
        half = card.training.get("precision") == "bf16"
        export_merged(source, place, output, parts, dtype=torch.bfloat16 if half else torch.float32)
        return output
    with whole_folder(output) as beside:
        for file in source.iterdir():
            shutil.copyfile(file, beside / file.name)
        settings = json.loads((beside / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        settings["base_model_name_or_path"] = str(place.resolve())
        text = json.dumps(settings, indent=2) + "\n"
        (beside / ADAPTER_CONFIG).write_text(text, encoding="utf-8")
        adapted(load_weights(place, torch.float32), beside)
    return output
