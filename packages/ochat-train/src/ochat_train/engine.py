"""Engine: who computes a step and holds the optimiser; here the protocol and the single process.

What a step contains and when one happens is the loop's business. The other implementation is in
`engine_deepspeed`, the only module that imports deepspeed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from .attention import packed
from .forward import TrainingModule
from .optimizer_places import place_whole
from .optimizer_state import (
    SINGLE_FILE,
    Writer,
    names_in_order,
    note_writer,
    read_written,
    writer_of,
)
from .tensor_file import load_tensors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from .batch import PackedBatch
    from .config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSums:
    """What one rank knows after a step, still on the device.

    Attributes:
        loss: scalar, this rank's share of the step's loss (the shares add up to the loss).
        sequences: float32 `(sequences, 2)` over the step's batches: each one's weighted sum of
            losses, and its positions predicted rightly.
        grad_norm: scalar, norm of the whole gradient before clipping; None if not known.
    """

    loss: torch.Tensor
    sequences: torch.Tensor
    grad_norm: torch.Tensor | None


class Engine(Protocol):
    """Trains one model on `world_size` ranks that all call the same methods in the same order."""

    @property
    def rank(self) -> int:
        """This process, from 0."""
        ...

    @property
    def world_size(self) -> int:
        """Number of processes."""
        ...

    @property
    def data_rank(self) -> int:
        """Whose batches of the plan this rank works on; ranks that hold a batch together share."""
        ...

    @property
    def model(self) -> PreTrainedModel:
        """The model itself; its weights may be shards, see `whole_weights`."""
        ...

    def own(self, batch: PackedBatch) -> PackedBatch:
        """This rank's part of a batch: all of it, unless several ranks hold it together."""
        ...

    def train_step(self, batches: Sequence[PackedBatch], denominator: float, lr: float) -> StepSums:
        """One optimiser step over this rank's batches, as if they were one.

        Every rank passes as many, each its own part; `denominator` is what the loss of all of them
        is divided by.
        """
        ...

    def evaluate(self, batch: PackedBatch) -> torch.Tensor:
        """The `StepSums.sequences` of this rank's part of a batch, without training on it."""
        ...

    def whole_weights(self, names: Collection[str] | None = None) -> dict[str, torch.Tensor]:
        """Weights by name, in the engine's precision; complete on rank 0 only.

        Every rank calls it, with the same names; None is all. Not to be written to.
        """
        ...

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """Sums a small float64 CPU tensor over all ranks."""
        ...

    def barrier(self) -> None:
        """Waits for all ranks."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the optimiser's state into an existing folder; called on every rank."""
        ...

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; the model was already loaded from the same checkpoint."""
        ...


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and embeddings, not biases and norms.

    Every step sets the learning rate anew.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=0.0,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def chosen(
    named: Mapping[str, torch.Tensor], names: Collection[str] | None
) -> dict[str, torch.Tensor]:
    """The tensors of these names; None is all."""
    return {name: each for name, each in named.items() if names is None or name in names}


class SingleProcessEngine:
    """One process, one device; bf16 is autocast over float32 weights."""

    rank = 0
    data_rank = 0
    world_size = 1

    def __init__(self, model: PreTrainedModel, config: TrainConfig) -> None:
        """Moves `model` to the GPU where there is one and builds the optimiser.

        Args:
            model: float32, with packed attention.
            config: `precision` must be decided.
        """
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bf16 = config.precision == "bf16"
        self._max_grad_norm = config.max_grad_norm
        self._module = TrainingModule(model).to(self.device)
        self.optimizer = build_optimizer(self._module, config)

    @property
    def model(self) -> PreTrainedModel:
        """The trained model, in float32."""
        return self._module.model

    def own(self, batch: PackedBatch) -> PackedBatch:
        """One rank: all of it."""
        return batch

    def train_step(self, batches: Sequence[PackedBatch], denominator: float, lr: float) -> StepSums:
        """See `Engine.train_step`."""
        set_learning_rate(self.optimizer, lr)
        losses: list[torch.Tensor] = []
        sequences: list[torch.Tensor] = []
        for batch in (each.to(self.device) for each in batches):
            with packed(batch.layout):
                with self._precision():
                    loss, figures = self._module(batch, denominator)
                loss.backward()
            losses.append(loss.detach())
            sequences.append(figures)
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), self._max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepSums(
            loss=torch.stack(losses).sum(), sequences=torch.cat(sequences), grad_norm=norm
        )

    def evaluate(self, batch: PackedBatch) -> torch.Tensor:
        """See `Engine.evaluate`."""
        batch = batch.to(self.device)
        with torch.no_grad(), packed(batch.layout), self._precision():
            return self._module(batch, 1.0)[1]

    def whole_weights(self, names: Collection[str] | None = None) -> dict[str, torch.Tensor]:
        """See `Engine.whole_weights`."""
        return chosen(self.model.state_dict(), names)

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """One rank: the values themselves."""
        return values

    def barrier(self) -> None:
        """One rank: nothing to wait for."""

    def save(self, folder: Path) -> None:
        """See `Engine.save`."""
        torch.save(self.optimizer.state_dict(), folder / SINGLE_FILE)
        note_writer(folder, self._writer())

    def load(self, folder: Path) -> None:
        """See `Engine.load`.

        Raises:
            CheckpointError: the optimiser's file is missing or damaged.
        """
        if writer_of(folder) != self._writer():
            read_written(folder, lambda stored: place_whole(self.optimizer, self._module, stored))
            return
        self.optimizer.load_state_dict(load_tensors(folder / SINGLE_FILE, self.device))

    def _writer(self) -> Writer:
        names = tuple(names_in_order(self._module))
        return Writer(engine="single", world_size=1, stage=0, names=names)

    def _precision(self) -> AbstractContextManager[object]:
        if not self._bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)
