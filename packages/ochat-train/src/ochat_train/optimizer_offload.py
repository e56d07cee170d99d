"""The optimiser of a DeepSpeed run whose configuration puts its state into the host's memory.

DeepSpeed refuses torch's own AdamW there, since it has one for the CPU that is several times
faster; the parameters and their groups are those of `engine.build_optimizer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .engine import build_optimizer
from .errors import EngineError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from .config import TrainConfig


def is_offloaded(settings: Mapping[str, Any]) -> bool:
    """Whether a DeepSpeed configuration puts the optimiser's state on the host or on NVMe."""
    zero = settings.get("zero_optimization", {})
    place = zero.get("offload_optimizer") or {}
    return place.get("device", "none") in ("cpu", "nvme") or bool(zero.get("cpu_offload"))


def require_storage(settings: Mapping[str, Any]) -> None:
    """Refuses offload to NVMe where DeepSpeed cannot read and write it.

    Raises:
        EngineError: says what to install.
    """
    zero = settings.get("zero_optimization", {})
    places = [zero.get(name) or {} for name in ("offload_optimizer", "offload_param")]
    if all(place.get("device") != "nvme" for place in places):
        return
    from deepspeed.accelerator import get_accelerator

    builder = get_accelerator().create_op_builder("AsyncIOBuilder")
    if builder is None or not builder.is_compatible(verbose=False):
        raise EngineError(
            "offload to NVMe needs libaio, whose headers DeepSpeed does not find here; install "
            "libaio-dev, or offload to the device cpu"
        )


def optimizer_for(
    module: nn.Module, config: TrainConfig, settings: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """AdamW where the configuration wants it.

    Raises:
        EngineError: DeepSpeed's AdamW for the CPU cannot be built here.
    """
    plain = build_optimizer(module, config)
    if not is_offloaded(settings):
        return plain
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    try:
        return DeepSpeedCPUAdam(
            plain.param_groups,
            lr=0.0,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            adamw_mode=True,
            fp32_optimizer_states=True,
        )
    except (RuntimeError, ImportError, OSError) as error:
        raise EngineError(
            f"offload_optimizer needs DeepSpeed's AdamW for the CPU, which cannot be built here: "
            f"{first_line(error)}; install g++ and ninja"
        ) from error
