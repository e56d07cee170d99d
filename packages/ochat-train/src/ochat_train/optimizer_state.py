"""The optimiser's state in a checkpoint, by the name of the parameter, whoever wrote it.

One process writes whole tensors; DeepSpeed's stages 1 to 3 write each rank's part of them, laid end
to end. Both are read here a parameter at a time, so that a run can go on with another engine, ZeRO
stage or number of ranks. Where the tensors are put is said in `optimizer_places`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from .errors import CheckpointError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import nn

SINGLE_FILE = "optimizer.pt"
MOMENTS = ("exp_avg", "exp_avg_sq")
_WRITER_FILE = "optimizer.json"
_DEEPSPEED = "deepspeed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who wrote an optimiser's state, which decides how it is laid out.

    Attributes:
        engine: "single" or "deepspeed".
        world_size: ranks.
        stage: of ZeRO.
        names: of the parameters, in the optimiser's order; empty where the files hold them.
    """

    engine: str
    world_size: int
    stage: int
    names: tuple[str, ...]


def names_in_order(module: nn.Module) -> Iterator[str]:
    """Names of the trained parameters in the order of `engine.build_optimizer`'s groups."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    yield from (name for name, parameter in named if parameter.ndim >= 2)
    yield from (name for name, parameter in named if parameter.ndim < 2)


def note_writer(folder: Path, writer: Writer) -> None:
    """Writes down who wrote the state beside it."""
    (folder / _WRITER_FILE).write_text(json.dumps(asdict(writer)) + "\n", encoding="utf-8")


def writer_of(folder: Path) -> Writer:
    """Who wrote the state in a checkpoint.

    Raises:
        CheckpointError: it is not said, or not readable.
    """
    file = folder / _WRITER_FILE
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return Writer(
            engine=str(fields["engine"]),
            world_size=int(fields["world_size"]),
            stage=int(fields["stage"]),
            names=tuple(fields["names"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"cannot read {file} ({first_line(error)}); delete {folder} to use the checkpoint "
            "before it"
        ) from error


class StoredOptimizer:
    """A checkpoint's optimiser state; files are mapped, so that only what is asked for is read."""

    def __init__(self, folder: Path, writer: Writer) -> None:
        """Opens the files.

        Raises:
            OSError, RuntimeError, KeyError, ...: as torch raises them, see `read_written`.
        """
        self._parts: dict[str, list[Mapping[str, torch.Tensor]]] = {}
        self.step = torch.zeros(())
        files = folder / _DEEPSPEED
        if writer.engine == "single":
            self._add_whole(_load(folder / SINGLE_FILE), writer.names)
        elif writer.stage == 0:
            state = _load(files / "mp_rank_00_model_states.pt")["optimizer"]
            self._add_whole(state, writer.names)
        elif writer.stage == 3:
            self._add_stage_3(files, writer.world_size)
        else:
            for rank in range(writer.world_size):
                self._add_stage_1_2(_load(_optimizer_file(files, rank))["optimizer_state_dict"])

    def whole(self, name: str, key: str) -> torch.Tensor | None:
        """One tensor of a parameter, flat.

        Args:
            name: of the parameter in the training module.
            key: of `MOMENTS`, or "fp32" for the master weights.

        Returns:
            None for master weights that the model's own are.
        """
        parts = self._parts[name]
        if key == "fp32" and key not in parts[0]:
            return None
        return torch.cat([part[key].flatten() for part in parts])

    def _add_whole(self, state: Mapping[str, Any], names: Sequence[str]) -> None:
        masters: list[torch.Tensor] | None = None
        if "fp32_groups" in state:  # ZeRO stage 0 in 16 bits
            masters = [master for group in state["fp32_groups"] for master in group]
            state = state["optimizer_state_dict"]
        for index, name in enumerate(names):
            fields = state["state"][index]
            self.step = fields["step"]
            part = {key: fields[key] for key in MOMENTS}
            self._parts[name] = [part if masters is None else {**part, "fp32": masters[index]}]

    def _add_stage_1_2(self, state: Mapping[str, Any]) -> None:
        masters = state["single_partition_of_fp32_groups"]
        groups = state["base_optimizer_state"]["state"]
        for index, places in enumerate(state["param_slice_mappings"]):
            flat = {**{key: groups[index][key] for key in MOMENTS}, "fp32": masters[index]}
            self.step = groups[index]["step"]
            for name, place in places.items():
                part = {k: v.narrow(0, place.start, place.numel) for k, v in flat.items()}
                self._parts.setdefault(name, []).append(part)

    def _add_stage_3(self, files: Path, world_size: int) -> None:
        """Every rank holds an equal part of each parameter, the last one padded."""
        shapes = _load(files / "zero_pp_rank_0_mp_rank_00_model_states.pt")["param_shapes"]
        for rank in range(world_size):
            state = _load(_optimizer_file(files, rank))["optimizer_state_dict"]
            groups = state["optimizer_state_dict"]["state"]
            for index, group in enumerate(shapes):
                flat = {key: groups[index][key] for key in MOMENTS}
                flat["fp32"] = state["fp32_flat_groups"][index]
                self.step = groups[index]["step"]
                start = 0
                for name, shape in group.items():
                    share = -(-shape.numel() // world_size)
                    held = max(0, min(share, shape.numel() - rank * share))
                    part = {key: value.narrow(0, start, held) for key, value in flat.items()}
                    self._parts.setdefault(name, []).append(part)
                    start += share


def read_written(folder: Path, place: Callable[[StoredOptimizer], None]) -> None:
    """Opens a checkpoint's state and hands it to `place`.

    Raises:
        CheckpointError: a file is missing, damaged or lacks a parameter.
    """
    writer = writer_of(folder)
    try:
        place(StoredOptimizer(folder, writer))
    except CheckpointError:
        raise
    except Exception as error:  # what torch.load raises depends on which bytes are damaged
        raise CheckpointError(
            f"cannot read the optimiser's state in {folder} ({type(error).__name__}: "
            f"{first_line(error)}); delete {folder} to use the checkpoint before it"
        ) from error


def _optimizer_file(files: Path, rank: int) -> Path:
    found = sorted(files.glob(f"*zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"))
    if len(found) != 1:
        raise CheckpointError(
            f"{files} lacks the optimiser's state of rank {rank}; delete {files.parent} to use the "
            "checkpoint before it"
        )
    return found[0]


def _load(file: Path) -> Any:  # noqa: ANN401 - whatever was saved
    # DeepSpeed's files hold a few of its own classes, so they are unpickled as DeepSpeed does it.
    return torch.load(file, map_location="cpu", mmap=True, weights_only=False)
