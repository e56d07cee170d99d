"""What is checked before anything is loaded or written: dataset, model folder and output agree."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ochat_data import TokenDataset
from ochat_templates import load_codec

from .capacity import choose_capacity, longest_example
from .checkpoint import latest_checkpoint
from .errors import DataError
from .files import refuse_occupied
from .model import read_config, require_fit, require_weights
from .tokenizer_files import rehearse_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig

    from ochat_data import TokenSplit
    from ochat_templates import Codec

    from .config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A dataset and a model folder that fit each other.

    Attributes:
        dataset: the token dataset.
        digest: SHA-256 of its manifest, which names its contents.
        train: the training split.
        held_out: the held-out split; None where it has nothing supervised.
        codec: the model folder's tokenizer with the dataset's template.
        model_config: the model folder's config.
        capacity: most tokens of one rank in one step.
        context_length: longest sequence that the trained model is meant for.
    """

    dataset: TokenDataset
    digest: str
    train: TokenSplit
    held_out: TokenSplit | None
    codec: Codec
    model_config: PreTrainedConfig
    capacity: int
    context_length: int


def check_inputs(config: TrainConfig) -> Inputs:
    """Opens dataset and model folder and checks that one can be trained on the other.

    Raises:
        TrainError: something is missing or does not fit; the message says what to do.
        ochat_data.DataError: the dataset is missing or damaged.
        ochat_templates.TemplatesError: the tokenizer is missing, or not the dataset's.
    """
    dataset = TokenDataset.open(config.data)
    model_config = read_config(config.model)
    # A run that resumes has its weights in the checkpoint.
    if not (config.from_scratch or config.resume):
        require_weights(config.model)
    codec = load_codec(config.model, dataset.manifest.template)
    codec.fingerprint.require_equal(dataset.fingerprint, what=f"the dataset {config.data}")
    train, held_out = dataset.split("train"), dataset.split("eval")
    if not len(train):
        raise DataError(
            f"the dataset {config.data} has no training examples; tokenize some conversations, "
            "or lower --eval-fraction"
        )
    longest = longest_example(dataset)
    require_fit(
        model_config,
        vocab_size=dataset.vocab_size,
        longest=longest,
        from_scratch=config.from_scratch,
    )
    rehearse_tokenizer(config.model, codec)
    positions = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    context = dataset.manifest.context_length
    return Inputs(
        dataset=dataset,
        digest=hashlib.sha256((config.data / "manifest.json").read_bytes()).hexdigest(),
        train=train,
        held_out=held_out if held_out.loss_weights.sum() > 0 else None,
        codec=codec,
        model_config=model_config,
        capacity=choose_capacity(config.batch_tokens, longest),
        context_length=context if positions is None else min(context, positions),
    )


def check_output(output: Path, *, resume: bool) -> Path | None:
    """Refuses an output folder that is in the way.

    Returns:
        The checkpoint to resume from, None to start at the beginning.

    Raises:
        OutputError: the folder holds something that the run does not continue.
    """
    if not resume:
        refuse_occupied(output, "add --resume to continue the run in it, or name another folder")
        return None
    checkpoint = latest_checkpoint(output / "checkpoints")
    # A run that was stopped before its first checkpoint has settings, and no model yet.
    if checkpoint is None and ((output / "model").exists() or not _holds_run(output)):
        refuse_occupied(output, "it has no checkpoint to resume from; name another folder")
    return checkpoint


def _holds_run(output: Path) -> bool:
    """Whether `run.json` of the folder is one that a training run wrote."""
    try:
        settings = json.loads((output / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and {"model", "data", "output"} <= settings.keys()
