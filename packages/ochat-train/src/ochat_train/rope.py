"""Longer contexts by scaled rotary positions, also where the scale depends on a sequence's length.

`scale_rope` writes the scaling into a config; `separate_sequences` keeps the kinds whose
frequencies depend on the longest position of a call (dynamic NTK, LongRoPE) exact when packed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from .attention import batch_in_flight
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedConfig, PreTrainedModel

RopeScaling = Literal["linear", "dynamic", "yarn"]
_BY_LENGTH = ("dynamic", "longrope")


def scale_rope(config: PreTrainedConfig, kind: RopeScaling, factor: float) -> None:
    """Makes a config's context `factor` times as long.

    Linear (positions are divided, Chen et al. 2023) and YaRN (Peng et al. 2023) enlarge
    `max_position_embeddings`; of dynamic NTK it stays, since transformers takes it for the length
    from which scaling begins.

    Raises:
        ConfigError: the architecture has no rotary positions, or scales them already.
    """
    text = config.get_text_config()
    found = getattr(text, "rope_parameters", None)
    if not isinstance(found, dict) or "rope_theta" not in found:
        raise ConfigError(
            f"--rope-scaling: model type {config.model_type!r} has no rotary positions of one kind "
            "for all layers; leave the option out"
        )
    present = found.get("rope_type", "default")
    if present != "default":
        raise ConfigError(
            f"--rope-scaling: the model's config.json scales its positions already ({present!r}); "
            "leave the option out, or take a base model without scaling"
        )
    length = text.max_position_embeddings
    scaled: dict[str, Any] = {**found, "rope_type": kind, "factor": factor}
    if kind == "yarn":
        scaled["original_max_position_embeddings"] = length
    text.rope_parameters = scaled
    if kind != "dynamic":
        text.max_position_embeddings = round(length * factor)


def longest_context(config: PreTrainedConfig) -> int | None:
    """Positions that a model is made for, scaling included; None where it has no limit."""
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if positions is None:
        return None
    parameters = getattr(text, "rope_parameters", None) or {}
    if parameters.get("rope_type") == "dynamic":
        return round(positions * float(parameters["factor"]))
    return int(positions)


def separate_sequences(model: PreTrainedModel) -> None:
    """Makes rotary layers whose frequencies depend on length take each sequence for itself.

    Else the longest sequence of a packed batch would decide the frequencies of all others.
    """
    layers: list[Any] = list(model.modules())
    for module in layers:
        kind = getattr(module, "rope_type", None)
        if isinstance(kind, str) and kind in _BY_LENGTH and not hasattr(module, "per_sequence"):
            module.per_sequence = True
            module.forward = _by_sequence(module, module.forward)


def _by_sequence(
    module: Any,  # noqa: ANN401 - whatever class the architecture gives its rotary layer
    forward: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    base = _base_length(module)
    own_frequencies = module.inv_freq.detach().clone()

    def separated(
        x: torch.Tensor,
        position_ids: torch.Tensor,
        **more: Any,  # noqa: ANN401 - passed through
    ) -> tuple[torch.Tensor, torch.Tensor]:
        layout = batch_in_flight()
        if layout is None or layout.max_length <= base:
            _reset(module, own_frequencies, base)
            return forward(x, position_ids, **more)
        parts: list[tuple[torch.Tensor, torch.Tensor]] = []
        for positions in position_ids.split(list(layout.lengths), dim=1):
            _reset(module, own_frequencies, base)
            parts.append(forward(x, positions, **more))
        cosines, sines = zip(*parts, strict=True)
        return torch.cat(cosines, dim=1), torch.cat(sines, dim=1)

    return separated


def _base_length(module: Any) -> int:  # noqa: ANN401
    """The length up to which nothing is scaled."""
    parameters = module.config.rope_parameters
    given = parameters.get("original_max_position_embeddings")
    return int(given or module.original_max_seq_len)


def _reset(module: Any, frequencies: torch.Tensor, base: int) -> None:  # noqa: ANN401
    """Puts a rotary layer where it was before it met any sequence."""
    module.inv_freq = frequencies.to(module.inv_freq.device)
    module.max_seq_len_cached = base
