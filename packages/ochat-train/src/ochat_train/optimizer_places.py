"""Where an engine holds the optimiser's state, to be filled from a checkpoint of another layout.

How a checkpoint's files are laid out is said in `optimizer_state`. DeepSpeed is not imported: its
engine, which has no types, is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .optimizer_state import MOMENTS

if TYPE_CHECKING:
    from torch import nn

    from .optimizer_state import StoredOptimizer


def place_whole(
    optimizer: torch.optim.Optimizer, module: nn.Module, stored: StoredOptimizer
) -> None:
    """Fills an optimiser that holds whole parameters, and the parameters from master weights."""
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        master = stored.whole(name, "fp32")
        if master is not None:
            parameter.data.copy_(master.view_as(parameter))
        state: dict[str, torch.Tensor] = {
            key: _required(stored, name, key).view_as(parameter).to(parameter.device, torch.float32)
            for key in MOMENTS
        }
        state["step"] = stored.step.clone().to(parameter.device)
        optimizer.state[parameter] = state


def place_masters(engine: Any, stored: StoredOptimizer) -> None:  # noqa: ANN401 - untyped
    """Fills stage 0 in 16 bits: whole parameters, each with a float32 copy that is stepped."""
    optimizer = engine.optimizer
    names = {id(parameter): name for name, parameter in engine.module.named_parameters()}
    groups = zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True)
    for parameter, master in (pair for group in groups for pair in zip(*group, strict=True)):
        name = names[id(parameter)]
        whole = stored.whole(name, "fp32")
        # Without master weights in the checkpoint, the model's own were in float32; those that the
        # engine was given came from there, and were rounded.
        if whole is not None:
            master.data.copy_(whole.view_as(master))
        state: dict[str, torch.Tensor] = {
            key: _required(stored, name, key).view_as(master).to(master.device, torch.float32)
            for key in MOMENTS
        }
        state["step"] = stored.step.clone().to(master.device)
        optimizer.optimizer.state[master] = state


def place_stage_1_2(engine: Any, stored: StoredOptimizer) -> None:  # noqa: ANN401 - untyped
    """Fills this rank's partitions of ZeRO 1 or 2: parts of the parameters, group by group."""
    optimizer = engine.optimizer
    names = {id(parameter): name for name, parameter in engine.module.named_parameters()}
    for index, group in enumerate(optimizer.bit16_groups):
        flat = optimizer.single_partition_of_fp32_groups[index]
        state = {key: torch.zeros_like(flat.data) for key in MOMENTS}
        for parameter in group:
            held = parameter._hp_mapping
            if held is None:
                continue  # another rank's
            source, target = held.lp_fragment_address, held.hp_fragment_address
            for key, buffer in {"fp32": flat.data, **state}.items():
                whole = stored.whole(names[id(parameter)], key)
                if whole is not None:
                    part = whole.narrow(0, source.start, source.numel)
                    buffer.narrow(0, target.start, target.numel).copy_(part)
        optimizer.optimizer.state[flat] = {"step": stored.step.clone().to(flat.device), **state}


def place_stage_3(engine: Any, stored: StoredOptimizer) -> None:  # noqa: ANN401 - untyped
    """Fills this rank's partitions of ZeRO 3: an equal part of every parameter."""
    optimizer = engine.optimizer
    names = {id(parameter): name for name, parameter in engine.module.named_parameters()}
    for index, group in enumerate(optimizer.fp16_groups):
        flat = optimizer.fp32_partitioned_groups_flat[index]
        state = {key: torch.zeros_like(flat.data) for key in MOMENTS}
        start = 0
        for parameter in group:
            share = parameter.partition_numel()
            first = min(engine.global_rank * share, parameter.ds_numel)
            held = min(share, parameter.ds_numel - first)
            for key, buffer in {"fp32": flat.data, **state}.items():
                whole = stored.whole(names[id(parameter)], key)
                if whole is not None:
                    buffer.narrow(0, start, held).copy_(whole.narrow(0, first, held))
            start += share
        optimizer.optimizer.state[flat] = {"step": stored.step.clone().to(flat.device), **state}


def _required(stored: StoredOptimizer, name: str, key: str) -> torch.Tensor:
    tensor = stored.whole(name, key)
    if tensor is None:
        raise KeyError(f"{key} of {name}")
    return tensor
