"""Reading the tensor files of a checkpoint, without running anything that they contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .errors import CheckpointError, first_line

if TYPE_CHECKING:
    from pathlib import Path


def load_tensors(file: Path, device: torch.device) -> dict[str, Any]:
    """Reads one of a checkpoint's files that `torch.save` wrote.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        return torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # what torch.load raises depends on which bytes are damaged
        raise CheckpointError(
            f"cannot read {file} ({first_line(error)}); delete {file.parent} to use the "
            "checkpoint before it"
        ) from error
