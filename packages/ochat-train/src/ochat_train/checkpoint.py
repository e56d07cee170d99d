"""Checkpoints that appear whole or not at all, and what is needed to continue from one exactly.

A checkpoint is a folder `step-00000123` with `model/` (an ordinary model folder), `state.json`,
one `random-RANK.pt` a rank, and whatever the engine adds. When to write one is the loop's business.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from .broken_connection import connection_broke
from .digests import verify_digests, write_digests
from .errors import CheckpointError
from .files import WRITE_ERRORS, cannot_write, finish_partial, partial_folder, start_partial
from .tensor_file import load_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .engine import Engine

_STATE_FILE = "state.json"
_FORMAT = 2
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Where a run stands, and which run it is.

    Attributes:
        step: optimiser steps done; the plan is a function of the settings, so this is the position.
        tokens: tokens trained so far, over all ranks.
        dataset: digest of the dataset's manifest.
        world_size: number of ranks.
        settings: the settings that must be equal to continue (`TrainConfig.fixed_part`).
        sections: (first step, batches of a step), see `PlanSettings.sections`.
    """

    step: int
    tokens: int
    dataset: str
    world_size: int
    settings: Mapping[str, object]
    sections: tuple[tuple[int, int], ...] = ()

    @property
    def data_ranks(self) -> int:
        """Ranks with batches of their own: those that hold every batch together count once."""
        together = self.settings.get("sequence_parallel", 1)
        return self.world_size // together if isinstance(together, int) else self.world_size

    def require_same_run(self, other: RunState) -> None:
        """Refuses to continue `self` as `other`.

        Raises:
            CheckpointError: names the first setting that differs.
        """
        if self.dataset != other.dataset:
            raise CheckpointError(
                "the checkpoint was trained on another dataset; resume with the same one, "
                "or start a new run in another --output"
            )
        ours, theirs = self.settings, other.settings
        # The optimiser's state is read whatever engine wrote it (`optimizer_state`), and another
        # number of ranks shares the batches of a step out anew (`sections_of`).
        free = {"engine", "zero_stage", "sequence_parallel"}
        if self.data_ranks != other.data_ranks:
            free.add("accumulation")
        for name in sorted((ours.keys() | theirs.keys()) - free):
            if ours.get(name) != theirs.get(name):
                raise CheckpointError(
                    f"the checkpoint was written with {name} = {ours.get(name)}, now it is "
                    f"{theirs.get(name)}; resume with the same settings, or start a new run in "
                    "another --output"
                )


def save_checkpoint(
    root: Path, state: RunState, engine: Engine, write_model: Callable[[Path], None]
) -> Path:
    """Writes a checkpoint on all ranks and gives it its name when all are done.

    Raises:
        OutputError: the disk refuses; earlier checkpoints are untouched.
    """
    folder = root / f"step-{state.step:08d}"
    beside = partial_folder(folder)
    try:
        if engine.rank == 0:
            start_partial(folder)
        engine.barrier()
        engine.save(beside)
        torch.save(_random_state(), beside / _random_file(engine.rank))
        if engine.rank == 0:
            (beside / "model").mkdir()
            write_model(beside / "model")
            text = json.dumps({"format": _FORMAT, **asdict(state)}, indent=2)
            (beside / _STATE_FILE).write_text(text + "\n", encoding="utf-8")
        engine.barrier()
        write_digests(beside, engine.rank, engine.world_size)
        engine.barrier()
        if engine.rank == 0:
            finish_partial(folder)
        engine.barrier()
    except WRITE_ERRORS as error:
        if connection_broke(error):
            raise  # another rank ended, perhaps because its disk refused
        raise cannot_write(folder, error) from error
    finally:
        # Nothing is there any more when all went well; else it would fill a full disk further.
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def latest_checkpoint(root: Path) -> Path | None:
    """The checkpoint with the highest step, None if there is none."""
    if not root.is_dir():
        return None
    found = [folder for folder in root.iterdir() if _NAME.fullmatch(folder.name)]
    return max(found, key=_step_of, default=None)


def usable_checkpoint(root: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose files are as they were written.

    Returns:
        It, None if there is no checkpoint at all; and a sentence on each damaged one after it.

    Raises:
        CheckpointError: there are only damaged ones.
    """
    found = list(root.iterdir()) if root.is_dir() else []
    by_age = sorted((folder for folder in found if _NAME.fullmatch(folder.name)), key=_step_of)
    damaged: list[str] = []
    for folder in reversed(by_age):
        try:
            verify_digests(folder, read_state(folder).world_size)
        except CheckpointError as error:
            damaged.append(f"checkpoint {folder.name} is damaged and passed over: {error}")
        else:
            return folder, damaged
    if damaged:
        raise CheckpointError(
            f"{damaged[0]}; and there is no other: start a new run in another --output"
        )
    return None, []


def remove_leftovers(root: Path) -> None:
    """Removes what killed saves and prunings left; nothing in it has a checkpoint's name."""
    for folder in [*root.glob(".step-*.partial"), *root.glob(".step-*.old")]:
        shutil.rmtree(folder, ignore_errors=True)


def prune_checkpoints(root: Path, keep_last: int, best_step: int | None) -> None:
    """Removes all checkpoints but the newest ones and the one of `best_step`."""
    found = [folder for folder in root.iterdir() if _NAME.fullmatch(folder.name)]
    by_age = sorted(found, key=_step_of)
    for folder in by_age[:-keep_last]:
        if _step_of(folder) != best_step:
            # Renamed first: a checkpoint is whole or has no name of one, also while it goes.
            doomed = folder.with_name(f".{folder.name}.old")
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def read_state(folder: Path) -> RunState:
    """Reads the state of a checkpoint.

    Raises:
        CheckpointError: the folder is no checkpoint of this version.
    """
    file = folder / _STATE_FILE
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if fields.pop("format") != _FORMAT:
            raise CheckpointError(f"{file} is of another version of ochat-train")
        sections = tuple((int(first), int(slots)) for first, slots in fields.pop("sections"))
        return RunState(**fields, sections=sections)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder} is not a complete checkpoint ({error}); delete it to use the one before"
        ) from error


def restore_random_state(folder: Path, rank: int) -> None:
    """Puts torch's generators where they were when the checkpoint was written.

    Raises:
        CheckpointError: the rank's file is missing or damaged.
    """
    state = load_tensors(folder / _random_file(rank), torch.device("cpu"))
    torch.set_rng_state(state["cpu"])
    torch.cuda.set_rng_state_all(state["cuda"])


def _random_state() -> dict[str, object]:
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def _random_file(rank: int) -> str:
    return f"random-{rank}.pt"
