"""The DeepSpeed engine: several ranks, ZeRO stages 0 to 3. The only module that imports deepspeed.

Which configuration DeepSpeed gets is decided in `deepspeed_config`.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from .attention import packed
from .deepspeed_config import read_deepspeed_config
from .engine import StepSums, chosen, set_learning_rate
from .errors import CheckpointError, EngineError
from .forward import TrainingModule
from .heartbeat import Heartbeat, Ranks, end_process
from .jit_folder import claim_extensions
from .optimizer_offload import optimizer_for, require_storage
from .optimizer_places import place_masters, place_stage_1_2, place_stage_3, place_whole
from .optimizer_state import (
    StoredOptimizer,
    Writer,
    names_in_order,
    note_writer,
    read_written,
    writer_of,
)

if not torch.cuda.is_available():
    # Without a GPU, DeepSpeed would look for one and warn; read when it is imported.
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from .batch import PackedBatch
    from .config import TrainConfig
    from .sequence_parallel import SequenceGroup

_TAG = "deepspeed"


def connect() -> None:
    """Connects the ranks that a launcher started; one process alone connects to itself.

    Raises:
        EngineError: the other ranks cannot be reached.
    """
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # DeepSpeed 0.19 calls collectives by names that torch 2.13 renamed; once a step is too often.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    for lock in claim_extensions():
        print(  # noqa: T201 - the build behind it may take a minute more
            f"ochat-train: removed {lock}, which a build that was killed had left", file=sys.stderr
        )
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    if "WORLD_SIZE" not in os.environ:
        os.environ.update(alone, MASTER_PORT="0")
    if distributed.is_initialized():
        # A second run of these processes: no rank goes on before rank 0 has looked at the output.
        distributed.barrier()
        return
    try:
        deepspeed.init_distributed(
            dist_backend="nccl" if torch.cuda.is_available() else "gloo",
            auto_mpi_discovery=False,
            verbose=False,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            f"cannot connect the ranks: {error}; start them with torchrun or deepspeed"
        ) from error


def heartbeat(seconds: float) -> Heartbeat:
    """A heartbeat over the store that the ranks met at, on a connection of its own."""
    server = os.environ["MASTER_ADDR"]
    ranks = Ranks(
        rank=distributed.get_rank(), world_size=distributed.get_world_size(), server=server
    )
    store = distributed.TCPStore(
        server,
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,
    )
    return Heartbeat(store, ranks, seconds, end_process)


def broadcast(text: str) -> str:
    """Rank 0's text, on every rank."""
    box = [text]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


class DeepSpeedEngine:
    """One rank of a DeepSpeed run; see `engine.Engine`."""

    def __init__(
        self,
        model: PreTrainedModel,
        config: TrainConfig,
        accumulation: int,
        group: SequenceGroup | None = None,
    ) -> None:
        """Hands `model` (float32, on the CPU, packed attention) to DeepSpeed.

        Args:
            model: to train.
            config: of the run.
            accumulation: batches of a step; a resumed run may take others than `config` says.
            group: the ranks that hold a batch together with this one.

        Raises:
            EngineError: DeepSpeed refuses its configuration.
        """
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        settings = dict(read_deepspeed_config(config).settings)
        settings["gradient_accumulation_steps"] = accumulation
        require_storage(settings)
        module = TrainingModule(model)
        try:
            self._engine: Any = deepspeed.initialize(
                model=module, optimizer=optimizer_for(module, config, settings), config=settings
            )[0]
        except (ValueError, AssertionError, TypeError, NotImplementedError) as error:
            raise EngineError(f"DeepSpeed refuses its configuration: {error}") from error
        if self._holds_masters():
            # DeepSpeed 0.19 makes this optimiser's state by a step with gradients of zero. Adam's
            # bias correction would count it, and the first updates be a quarter too small.
            wrapper: Any = self._engine.optimizer
            wrapper.optimizer.state.clear()
        self.rank = distributed.get_rank()
        self.world_size = distributed.get_world_size()
        self.device = self._engine.device
        self._group = group
        self.data_rank = self.rank // (1 if group is None else group.size)

    @property
    def model(self) -> PreTrainedModel:
        """The trained model; in stage 3 every rank holds a shard of it."""
        return self._engine.module.model

    def own(self, batch: PackedBatch) -> PackedBatch:
        """See `Engine.own`."""
        return batch if self._group is None else self._group.own(batch)

    def train_step(self, batches: Sequence[PackedBatch], denominator: float, lr: float) -> StepSums:
        """See `Engine.train_step`."""
        set_learning_rate(self._engine.optimizer, lr)
        losses: list[torch.Tensor] = []
        sequences: list[torch.Tensor] = []
        for batch in (each.to(self.device) for each in batches):
            with packed(batch.layout, self._group):
                # DeepSpeed averages gradients over the ranks; ours are to be summed.
                loss, figures = self._engine(batch, denominator / self.world_size)
                # Nor is it to divide by the number of batches: the denominator is the step's. A
                # tensor of its own, since stage 0 divides the gradient of the module's output all
                # the same (DeepSpeed 0.19).
                self._engine.backward(loss.clone(), scale_wrt_gas=False)
            # Steps the optimiser with the last of the batches.
            self._engine.step()
            losses.append(loss.detach())
            sequences.append(figures)
        norm = self._engine.get_global_grad_norm()
        return StepSums(
            loss=torch.stack(losses).sum() / self.world_size,
            sequences=torch.cat(sequences),
            grad_norm=None if norm is None else torch.as_tensor(norm),
        )

    def evaluate(self, batch: PackedBatch) -> torch.Tensor:
        """See `Engine.evaluate`."""
        batch = batch.to(self.device)
        with torch.no_grad(), packed(batch.layout, self._group):
            return self._engine.module(batch, 1.0)[1]

    def whole_weights(self, names: Collection[str] | None = None) -> dict[str, torch.Tensor]:
        """See `Engine.whole_weights`; a shard is brought together on rank 0, one at a time."""
        named = chosen(self.model.state_dict(keep_vars=True), names)
        if not self._engine.zero_optimization_partition_weights():
            return {name: tensor.detach() for name, tensor in named.items()}
        copies: dict[int, torch.Tensor] = {}
        for tensor in named.values():
            if id(tensor) in copies:
                continue  # tied to one before
            with deepspeed.zero.GatheredParameters([tensor]):
                whole = tensor.detach()
                copies[id(tensor)] = whole.cpu().clone() if self.rank == 0 else whole[:0]
        return {name: copies[id(tensor)] for name, tensor in named.items()}

    def sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """See `Engine.sum_over_ranks`."""
        total = values.to(self.device)
        distributed.all_reduce(total)
        return total.cpu()

    def barrier(self) -> None:
        """See `Engine.barrier`."""
        distributed.barrier()

    def save(self, folder: Path) -> None:
        """See `Engine.save`; DeepSpeed writes its own files, one set a rank."""
        self._engine.save_checkpoint(
            str(folder), tag=_TAG, save_latest=False, exclude_frozen_parameters=self._frozen()
        )
        if self.rank == 0:
            note_writer(folder, self._writer())

    def load(self, folder: Path) -> None:
        """See `Engine.load`.

        Raises:
            CheckpointError: the optimiser's files are missing or damaged.
        """
        if writer_of(folder) != self._writer():
            read_written(folder, self._place)
            return
        try:
            found, _ = self._engine.load_checkpoint(
                str(folder), tag=_TAG, load_module_strict=not self._frozen()
            )
        except Exception as error:  # DeepSpeed raises many kinds, bare Exception among them
            raise CheckpointError(f"DeepSpeed cannot load {folder}: {error}") from error
        if found is None:
            raise CheckpointError(f"{folder} was not written by the DeepSpeed engine")

    def _holds_masters(self) -> bool:
        """Whether it is stage 0 in 16 bits: every rank holds float32 copies of all parameters."""
        return not self._engine.zero_optimization() and self._engine.bfloat16_enabled()

    def _frozen(self) -> bool:
        """Whether there is a base that is not trained, which a checkpoint need not hold."""
        return not all(each.requires_grad for each in self._engine.module.parameters())

    def _writer(self) -> Writer:
        """What decides which rank holds what of the optimiser's state."""
        stage = self._engine.zero_optimization_stage()
        names = () if stage else tuple(names_in_order(self._engine.module))
        return Writer(engine="deepspeed", world_size=self.world_size, stage=stage, names=names)

    def _place(self, stored: StoredOptimizer) -> None:
        """Takes over a state that was written by another engine, stage or number of ranks."""
        if self._engine.zero_optimization_partition_weights():
            place_stage_3(self._engine, stored)
        elif self._engine.zero_optimization_stage():
            place_stage_1_2(self._engine, stored)
        elif self._holds_masters():
            place_masters(self._engine, stored)
        else:
            place_whole(self._engine.optimizer, self._engine.module, stored)
