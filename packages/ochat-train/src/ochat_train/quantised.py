"""Loading a base model in 4 bits, for adapters trained over it (QLoRA, arXiv 2305.14314).

The quantiser is bitsandbytes, reached through transformers; what is trained is in `lora`.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from .errors import ConfigError, ModelError, first_line
from .model import no_progress_bars

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel


def load_in_4_bits(
    folder: Path, config: PreTrainedConfig, precision: torch.dtype
) -> PreTrainedModel:
    """Loads a model whose linear layers, but the output layer, are NF4 with double quantisation.

    Args:
        folder: with weights.
        config: of the model.
        precision: of everything else, and of the computation.

    Raises:
        ConfigError: bitsandbytes is not installed.
        ModelError: the weights cannot be loaded so.
    """
    # It says on import that a kernel which nobody asked for is not there.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    missing = [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--qlora needs {' and '.join(missing)}; install it: pip install 'ochat-train[qlora]'"
        )
    if not torch.cuda.is_available():
        # As everywhere: DeepSpeed, which accelerate imports, would look for a GPU and warn.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    on_gpu = torch.cuda.is_available()
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision,
    )
    try:
        with no_progress_bars():
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=precision,
                quantization_config=settings,
                device_map={"": int(os.environ.get("LOCAL_RANK", "0")) if on_gpu else "cpu"},
                local_files_only=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise ModelError(f"cannot load {folder} in 4 bits: {first_line(error)}") from error
    for module in model.modules():
        # On some CPUs the first pass without gradients (a probe, an evaluation) repacks the weights
        # for a kernel that has no gradient, and later training passes use it: silently wrong.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
