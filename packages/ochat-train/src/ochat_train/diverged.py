"""Keeps the batches of a step whose loss is no number, so that somebody can look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .files import cannot_write

if TYPE_CHECKING:
    from pathlib import Path

    from .run_plan import PlannedStep


def keep_step(folder: Path, number: int, rank: int, planned: PlannedStep) -> Path:
    """Writes a rank's share of a step as `step-NUMBER-rank-RANK.npz`.

    The file holds `record_ids` and `conditions` (text), `lengths` (int64), and, all sequences end
    to end, `ids` (int32) and `weights` (float32, of each token as a target).

    Raises:
        OutputError: the disk refuses.
    """
    examples = [planned.source.example(int(i)) for batch in planned.batches for i in batch]
    path = folder / f"step-{number:08d}-rank-{rank}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path,
            record_ids=np.array([example.id for example in examples], dtype=str),
            conditions=np.array([example.condition for example in examples], dtype=str),
            lengths=np.array([len(example.ids) for example in examples], dtype=np.int64),
            ids=np.concatenate([np.empty(0, np.int32), *(e.ids for e in examples)]),
            weights=np.concatenate([np.empty(0, np.float32), *(e.weights for e in examples)]),
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    return path
