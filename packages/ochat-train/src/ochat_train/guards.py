"""What is checked before anything is loaded or written: dataset, model folder and output agree."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ochat_templates import load_codec

from .capacity import choose_capacity
from .checkpoint import remove_leftovers, usable_checkpoint
from .errors import OutputError
from .files import refuse_occupied
from .memory import checkpoint_bytes, count_parameters
from .model import read_config, require_fit, require_weights
from .rope import longest_context, scale_rope
from .tokenizer_files import rehearse_tokenizer
from .training_data import choose_examples, open_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedConfig

    from ochat_templates import Codec

    from .config import TrainConfig
    from .examples import ExampleSet
    from .training_data import StoredData


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A dataset and a model folder that fit each other.

    Attributes:
        digest: SHA-256 that tells the dataset from any other.
        train: the training examples, one set for all epochs or one for each in turn.
        held_out: the held-out examples; None where nothing is supervised.
        groups: kinds of sources that a row of the data could hold.
        codec: the model folder's tokenizer with the dataset's template.
        model_config: the model folder's config, with its positions scaled as was asked.
        capacity: most tokens of one rank in one batch.
        context_length: longest sequence that the trained model is meant for.
    """

    digest: str
    train: Sequence[ExampleSet]
    held_out: ExampleSet | None
    groups: int
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
    data = open_data(config.data, config.model_type)
    model_config = read_config(config.model)
    if config.rope_scaling is not None:
        scale_rope(model_config, config.rope_scaling, config.rope_factor)
    # A run that resumes has its weights in the checkpoint, but for the base of an adapter.
    if config.adapts or not (config.from_scratch or config.resume):
        require_weights(config.model)
    codec = load_codec(config.model, data.template)
    data.require_codec(codec, f"the dataset {config.data}")
    data.require_end_of_turn(codec.eot_id)
    positions = longest_context(model_config)
    longest = _longest(config, data, positions)
    require_fit(
        model_config,
        vocab_size=max(data.vocab_size, codec.vocab_size),
        longest=longest,
        positions=positions,
        from_scratch=config.from_scratch,
    )
    capacity = choose_capacity(config.batch_tokens, longest)
    train, held_out = choose_examples(data, config, longest)
    rehearse_tokenizer(config.model, codec)
    context = data.context_length or codec.template.context_length
    return Inputs(
        digest=data.digest,
        train=train,
        held_out=held_out,
        groups=data.groups,
        codec=codec,
        model_config=model_config,
        capacity=capacity,
        context_length=context if positions is None else min(context, positions),
    )


def _longest(config: TrainConfig, data: StoredData, positions: int | None) -> int:
    """Tokens of the longest example that is trained, under the policy for overlong ones."""
    if config.overlong == "error":
        return data.longest
    limits = [limit for limit in (positions, config.batch_tokens) if limit is not None]
    return min([data.longest, *limits])


def check_space(
    output: Path, model_config: PreTrainedConfig, *, adapts: bool = False, merge: bool = True
) -> None:
    """Refuses a disk that could not even hold one checkpoint and the model.

    An adapter's own files are small beside the merged model.

    Raises:
        OutputError: says how much there is and how much it takes.
    """
    place = output.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    total = count_parameters(model_config).total
    needed = checkpoint_bytes(total) if not adapts else 4 * total if merge else 0
    if free < needed:
        raise OutputError(
            f"{place} has {free / 2**30:.1f} GiB free, but one checkpoint and the exported model "
            f"take {needed / 2**30:.1f} GiB; free some space, or name an --output elsewhere"
        )


def check_output(output: Path, *, resume: bool) -> tuple[Path | None, list[str]]:
    """Refuses an output folder that is in the way.

    Returns:
        The checkpoint to resume from, None to start at the beginning; and what a person should know
        about it.

    Raises:
        OutputError: the folder holds something that the run does not continue.
        CheckpointError: all its checkpoints are damaged.
    """
    if not resume:
        refuse_occupied(output, "add --resume to continue the run in it, or name another folder")
        return None, []
    checkpoint, notes = usable_checkpoint(output / "checkpoints")
    remove_leftovers(output / "checkpoints")
    # A run that was stopped before its first checkpoint has settings, and no model yet.
    if checkpoint is None and ((output / "model").exists() or not _holds_run(output)):
        refuse_occupied(output, "it has no checkpoint to resume from; name another folder")
    return checkpoint, notes


def _holds_run(output: Path) -> bool:
    """Whether `run.json` of the folder is one that a training run wrote."""
    try:
        settings = json.loads((output / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and {"model", "data", "output"} <= settings.keys()
