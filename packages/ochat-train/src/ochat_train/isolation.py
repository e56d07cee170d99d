"""The test that every model passes before it is trained: packed sequences do not see each other.

It runs the model; how attention keeps sequences apart is the business of `attention`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from .attention import attach_attention, packed
from .batch import collate
from .broken_connection import connection_broke
from .errors import IsolationError, ModelError, first_line
from .forward import embedding_table, hidden_states, model_logits
from .head import read_head, verify_head
from .layout import SequenceLayout
from .rope import separate_sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .sequence_parallel import SequenceGroup

# Three sequences, the middle one watched while its neighbours change; long enough that a
# convolution or a state that runs on across the border would show.
_LENGTHS = (6, 9, 7)
_MIDDLE = slice(_LENGTHS[0], _LENGTHS[0] + _LENGTHS[1])
# Largest change of a hidden state, relative to the largest hidden state. The neighbours' change
# keeps every shape, so it is exact in practice (mixtures of experts may regroup their sums).
_LEAK_TOLERANCE = 1e-5
_SOLO_TOLERANCE = 1e-3
# The same in 16-bit precision, whose last digit is 4e-3.
_HALF_LEAK_TOLERANCE = 2e-3
_HALF_SOLO_TOLERANCE = 4e-2


def probe_isolation(model: PreTrainedModel) -> None:
    """Switches `model` to packed attention and proves that it keeps sequences apart.

    Two batches that differ only in the neighbours of a sequence must give that sequence the same
    hidden states, and the same as when it is alone. Also checks that the output head is one that
    the loss knows. Takes four small forward passes and leaves the model's mode as it was.

    Raises:
        IsolationError: sequences of this model type influence each other when packed.
        ModelError: the model's output head is not one that the loss can apply.
    """
    attach_attention(model)
    separate_sequences(model)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            _probe(model)
    finally:
        model.train(was_training)


def probe_sequence_parallel(model: PreTrainedModel, group: SequenceGroup) -> None:
    """Proves that ranks that hold a row together compute what one would; all of them call it.

    `probe_isolation` comes before. A layer that looks at other tokens outside of attention would
    miss those of the other ranks.

    Raises:
        IsolationError: they compute something else.
        ModelError: the heads of attention do not divide by the ranks, or the positions depend on
            lengths.
    """
    kind = model.config.model_type
    if any(hasattr(module, "per_sequence") for module in model.modules()):
        raise ModelError(
            f"--sequence-parallel: the rotary positions of this {kind!r} depend on a sequence's "
            "length, which one rank does not see; use --rope-scaling linear or yarn, or leave "
            "--sequence-parallel out"
        )
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            # All of them refuse, or none: else some would wait for the others.
            shift = group.largest(_shift_by_parts(model, group))
    finally:
        model.train(was_training)
    half = embedding_table(model).dtype in (torch.bfloat16, torch.float16)
    if not shift <= (_HALF_SOLO_TOLERANCE if half else _SOLO_TOLERANCE):
        raise IsolationError(
            f"model type {kind!r} gives other hidden states when ranks hold a batch together "
            f"(they differ by {shift:.2g} of their size), so it cannot be trained with "
            "--sequence-parallel; leave the option out"
        )


def _shift_by_parts(model: PreTrainedModel, group: SequenceGroup) -> float:
    """Largest difference of this rank's hidden states from those of the whole row."""
    device, vocabulary = embedding_table(model).device, embedding_table(model).shape[0]
    draw = np.random.default_rng(0)
    # Long enough that every rank gets several tokens, and borders lie inside ranks.
    whole = collate(
        [_ProbeExample(draw.integers(0, vocabulary, n)) for n in (9, 7, 6 * group.size)]
    )
    part = group.own(whole).to(device)
    whole = whole.to(device)
    with packed(whole.layout):
        expected = hidden_states(model, whole.input_ids, whole.position_ids, whole.layout)
    try:
        with packed(part.layout, group):
            states = hidden_states(model, part.input_ids, part.position_ids, part.layout)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        if connection_broke(error):
            raise
        raise IsolationError(
            f"model type {model.config.model_type!r} cannot run a part of a row "
            f"({type(error).__name__}: {first_line(error)}); leave --sequence-parallel out"
        ) from error
    mine = expected[part.first : part.first + part.tokens].float()
    size = float(expected.abs().max().clamp(min=1e-6))
    return float((states[: len(mine)].float() - mine).abs().max()) / size


class _ProbeExample:
    """Tokens without meaning, all of which count."""

    condition = ""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids.astype(np.int32)
        self.weights = np.ones(len(ids), np.float32)


def _probe(model: PreTrainedModel) -> None:
    vocabulary = embedding_table(model).shape[0]
    tokens = sum(_LENGTHS)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary, (tokens,), generator=generator)
    changed = (
        ids + 1 + torch.randint(0, vocabulary - 1, (tokens,), generator=generator)
    ) % vocabulary
    changed[_MIDDLE] = ids[_MIDDLE]
    reference = _states(model, ids, _LENGTHS)[_MIDDLE]
    neighbours = _states(model, changed, _LENGTHS)[_MIDDLE]
    alone = _states(model, ids[_MIDDLE], _LENGTHS[1:2])
    half = reference.dtype in (torch.bfloat16, torch.float16)
    size = float(reference.abs().max().clamp(min=1e-6))
    if not math.isfinite(size):
        raise ModelError(
            "the model's hidden states are not finite: its weights are damaged or hold NaN, or "
            "are too large for this precision; check its files, or train from another copy"
        )
    leak = float((neighbours - reference).abs().max()) / size
    shift = float((alone - reference).abs().max()) / size
    kind = model.config.model_type
    if not leak <= (_HALF_LEAK_TOLERANCE if half else _LEAK_TOLERANCE):
        raise IsolationError(
            f"model type {kind!r} leaks between packed sequences (changing one moved another's "
            f"hidden states by {leak:.2g} of their size), so it cannot be trained here; use an "
            "architecture with plain causal attention such as llama, mistral or qwen3"
        )
    if not shift <= (_HALF_SOLO_TOLERANCE if half else _SOLO_TOLERANCE):
        raise IsolationError(
            f"model type {kind!r} treats a packed sequence differently from the same one alone "
            f"(hidden states differ by {shift:.2g} of their size, probably by its positions), so "
            "it cannot be trained here; use an architecture such as llama, mistral or qwen3"
        )
    _check_head(model, ids)


def _states(model: PreTrainedModel, ids: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    row, positions, layout = _packed_row(model, ids, lengths)
    try:
        with packed(layout):
            return hidden_states(model, row, positions, layout).float()
    except (ModelError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        # Architectures that need more than causal attention fail in ways of their own.
        raise IsolationError(
            f"model type {model.config.model_type!r} cannot run packed sequences: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_head(model: PreTrainedModel, ids: torch.Tensor) -> None:
    row, positions, layout = _packed_row(model, ids, _LENGTHS)

    def forward() -> tuple[torch.Tensor, torch.Tensor]:
        with packed(layout):
            return (
                hidden_states(model, row, positions, layout),
                model_logits(model, row, positions, layout),
            )

    verify_head(model, read_head(model), forward)


def _packed_row(
    model: PreTrainedModel, ids: torch.Tensor, lengths: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, SequenceLayout]:
    device = embedding_table(model).device
    positions = torch.cat([torch.arange(length) for length in lengths])
    return ids.to(device), positions.to(device), SequenceLayout.from_lengths(lengths, device)
