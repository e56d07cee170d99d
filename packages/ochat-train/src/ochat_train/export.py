"""Writes the trained model as an ordinary Hugging Face folder with `openchat.json`, and checks it.

What is in `openchat.json` is defined in `ochat_templates`; the checkpoint around it in
`checkpoint`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import GenerationConfig

from ochat_templates import Codec, FingerprintMismatchError, ModelCard, load_codec

from .attention import attach_attention, packed
from .checkpoint import read_state
from .errors import CheckpointError, OutputError
from .files import refuse_occupied, whole_folder
from .forward import model_logits
from .layout import SequenceLayout
from .model import load_weights, no_progress_bars
from .tokenizer_files import require_same_tokens, write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedModel

_PROBE_TOKENS = 24
# Relative to the largest logit: two attention kernels in float32, or rounding to 16 bits.
_TOLERANCE = 1e-4
_HALF_TOLERANCE = 5e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """What a model folder holds besides the weights.

    Attributes:
        tokenizer: folder with the tokenizer's files.
        codec: the tokenizer with its template.
        card: the contents of `openchat.json`.
    """

    tokenizer: Path
    codec: Codec
    card: ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model in memory, wherever its weights are.

    Attributes:
        model: for its config and class; its own weights may be shards.
        weights: all of them, by name.
        logits: float32 `(tokens, vocab)` on the CPU, what it says to `probe_ids`.
    """

    model: PreTrainedModel
    weights: Mapping[str, torch.Tensor]
    logits: torch.Tensor


def probe_ids(rows: int) -> torch.Tensor:
    """The tokens that a written model is compared on, int64 `(tokens,)`."""
    return torch.randint(0, rows, (_PROBE_TOKENS,), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def probe_logits(model: PreTrainedModel) -> torch.Tensor:
    """What a model says to `probe_ids`, in evaluation mode; every rank of its engine calls it."""
    device = next(model.parameters()).device
    layout = SequenceLayout.from_lengths([_PROBE_TOKENS], device)
    was_training = model.training
    model.eval()
    with packed(layout):
        positions = torch.arange(_PROBE_TOKENS, device=device)
        ids = probe_ids(model.config.get_text_config().vocab_size).to(device)
        logits = model_logits(model, ids, positions, layout).float().cpu()
    model.train(was_training)
    return logits


def write_model(
    model: PreTrainedModel,
    weights: Mapping[str, torch.Tensor],
    folder: Path,
    parts: ModelParts,
    *,
    dtype: torch.dtype,
) -> None:
    """Writes config, weights, generation config, tokenizer and card into an existing folder."""
    state = {name: tensor.to("cpu", dtype) for name, tensor in weights.items()}
    trained_dtype, trained_generation = model.config.dtype, model.generation_config
    model.generation_config = GenerationConfig(
        bos_token_id=parts.codec.bos_id,
        eos_token_id=parts.codec.eot_id,
        pad_token_id=parts.codec.eot_id,
    )
    if not torch.cuda.is_available():
        # Where accelerate is installed, saving imports deepspeed, which then warns about the CPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        with no_progress_bars():
            model.save_pretrained(folder, state_dict=state)
        # It wrote the dtype of the model in memory.
        model.config.dtype = dtype
        model.config.save_pretrained(folder)
    finally:
        model.config.dtype, model.generation_config = trained_dtype, trained_generation
    write_tokenizer(parts.tokenizer, folder, parts.codec, context_length=parts.card.context_length)
    parts.card.write(folder)


def export_checkpoint(checkpoint: Path, output: Path) -> Path:
    """Writes the model of a checkpoint to `output`, in the precision of its run.

    Raises:
        CheckpointError: the folder is no complete checkpoint, or has another tokenizer.
        ModelError: its weights are damaged.
        OutputError: `output` is not empty, or what was written reads back differently.
    """
    state = read_state(checkpoint)
    refuse_occupied(output)
    source = checkpoint / "model"
    card = ModelCard.read(source)
    codec = load_codec(source, card.model_type)
    try:
        card.fingerprint.require_equal(codec.fingerprint, what=str(source))
    except FingerprintMismatchError as error:
        raise CheckpointError(
            f"the tokenizer in {source} is not the one that the run was trained with; copy the "
            "tokenizer files of the run's --model there"
        ) from error
    parts = ModelParts(tokenizer=source, codec=codec, card=card)
    model = load_weights(source, "auto")
    attach_attention(model)
    dtype = torch.bfloat16 if state.settings.get("precision") == "bf16" else torch.float32
    trained = TrainedModel(model=model, weights=model.state_dict(), logits=probe_logits(model))
    write_verified(trained, output, parts, dtype=dtype)
    return output


def write_verified(
    trained: TrainedModel, folder: Path, parts: ModelParts, *, dtype: torch.dtype
) -> None:
    """Writes a model folder that appears only when it has been read back and compared.

    Raises:
        OutputError: the disk refuses, or what was written reads back differently.
    """
    with whole_folder(folder) as beside:
        write_model(trained.model, trained.weights, beside, parts, dtype=dtype)
        verify_model(trained, beside, parts, dtype=dtype)


def verify_model(
    trained: TrainedModel, folder: Path, parts: ModelParts, *, dtype: torch.dtype
) -> None:
    """Reloads a written folder as anybody would, and compares it with the model in memory.

    Raises:
        OutputError: a tensor or the logits of a probe differ.
        ModelError: the tokenizer differs.
    """
    reloaded = load_weights(folder, dtype)
    for name, tensor in reloaded.state_dict().items():
        if not torch.equal(tensor, trained.weights[name].to("cpu", dtype)):
            raise OutputError(f"{folder}: tensor {name!r} reads back differently; export again")
    compare_logits(trained.logits, plain_logits(reloaded), folder, dtype)
    require_same_tokens(folder, parts.codec)


def compare_logits(
    ours: torch.Tensor, theirs: torch.Tensor, folder: Path, dtype: torch.dtype
) -> None:
    """Compares what a written folder says to the probe with what was trained.

    Raises:
        OutputError: they differ by more than rounding in `dtype`.
    """
    difference = float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1e-6))
    if not difference <= (_TOLERANCE if dtype == torch.float32 else _HALF_TOLERANCE):
        raise OutputError(
            f"{folder}: the reloaded model's logits differ by {difference:.2g} of their size; "
            "the export is not the trained model"
        )


@torch.no_grad()
def plain_logits(model: nn.Module) -> torch.Tensor:
    """What a model says to `probe_ids` in float32, called as anybody would call it."""
    config: Any = model.config
    ids = probe_ids(config.get_text_config().vocab_size)
    return model.float().eval()(input_ids=ids[None], use_cache=False).logits[0]
