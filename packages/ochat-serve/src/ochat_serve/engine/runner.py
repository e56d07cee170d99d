"""What runs the model for the decode loop, and which way of doing so a model allows."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from transformers import DynamicCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

Cache = TypeVar("Cache")

# Layers and positions whose numbers depend on nothing but a token's own request.
_PACKED_LAYERS = frozenset({"full_attention", "sliding_attention"})
# These stretch all positions by the longest request of the pass.
_SHARED_POSITIONS = frozenset({"dynamic", "longrope"})
_PROBE_LENGTHS = (9, 5)
# Most difference of logits, of their largest, that rounding explains.
_ROUNDING = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.05}


@dataclass(frozen=True, slots=True)
class Piece(Generic[Cache]):
    """Tokens of one request for one forward pass.

    Attributes:
        ids: At least one.
        cache: What the model has seen of the request before.
        every: Whether the logits of every token are wanted, or of the last one only.
    """

    ids: Sequence[int]
    cache: Cache
    every: bool = False


class Runner(Protocol[Cache]):
    """Runs a model on pieces of several requests."""

    def new_cache(self) -> Cache:
        """What a request has seen: nothing yet."""
        ...

    def forward(self, pieces: Sequence[Piece[Cache]]) -> list[torch.Tensor]:
        """Run the model.

        Args:
            pieces: At least one, each of another request.

        Returns:
            Logits of each piece in float32 on the CPU, `(wanted tokens, vocab)`.
        """
        ...


class AloneRunner:
    """One forward pass for each piece: works with every model, as the library's own way does."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take a model in evaluation mode on its device."""
        self._model = model
        # Transformers 5.24 renamed it; the old name is to vanish in 5.40.
        parameters = inspect.signature(model.forward).parameters
        self._cache_argument = "cache" if "cache" in parameters else "past_key_values"

    def new_cache(self) -> DynamicCache:
        """What a request has seen: nothing yet."""
        return DynamicCache(config=self._model.config)

    def forward(self, pieces: Sequence[Piece[DynamicCache]]) -> list[torch.Tensor]:
        """See `Runner.forward`."""
        return [self._one(piece) for piece in pieces]

    def _one(self, piece: Piece[DynamicCache]) -> torch.Tensor:
        output = self._model(
            input_ids=torch.tensor([list(piece.ids)], device=self._model.device),
            use_cache=True,
            logits_to_keep=0 if piece.every else 1,
            **{self._cache_argument: piece.cache},
        )
        return output.logits[0].to("cpu", torch.float32)


# What a runner's caches are is its own business.
AnyRunner = Runner[Any]


def choose_runner(model: PreTrainedModel, *, threads: int) -> AnyRunner:
    """Packed where the model allows it and gives its own numbers then; else each request alone.

    Args:
        model: In evaluation mode, on its device.
        threads: Threads of one operation on the CPU.
    """
    if _may_be_packed(model):
        from ochat_serve.engine.packed import PackedRunner

        before = model.config._attn_implementation or "eager"
        expected = _probe(AloneRunner(model))
        packed = PackedRunner(model, threads=threads)
        try:
            found = _probe(packed)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            found, reason = None, str(error)
        else:
            reason = "its numbers differ"
        if found is not None and _equal(found, expected, model.dtype):
            return packed
        model.set_attn_implementation(before)
        logging.getLogger(__name__).warning(
            "%s cannot answer several requests in one pass (%s); each is computed alone.",
            type(model).__name__,
            reason,
        )
    return AloneRunner(model)


def _may_be_packed(model: PreTrainedModel) -> bool:
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ())
    return (
        bool(model._supports_attention_backend)
        and layers <= _PACKED_LAYERS
        and not (_rope_types(getattr(config, "rope_parameters", None)) & _SHARED_POSITIONS)
    )


def _rope_types(parameters: object) -> set[object]:
    """The kinds of rotary positions; a model may have them by kind of layer."""
    if not isinstance(parameters, dict):
        return set()
    nested = [_rope_types(value) for value in parameters.values()]
    return set().union({parameters.get("rope_type")}, *nested)


@torch.inference_mode()
def _probe(runner: Runner[Cache]) -> list[torch.Tensor]:
    """Logits of two small requests, in the prompt and after it."""
    caches = [runner.new_cache() for _ in _PROBE_LENGTHS]
    prompts = [[1 + 3 * i for i in range(length)] for length in _PROBE_LENGTHS]
    first = runner.forward([Piece(p, c, every=True) for p, c in zip(prompts, caches, strict=True)])
    return first + runner.forward([Piece([7], cache) for cache in caches])


def _equal(
    found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], dtype: torch.dtype
) -> bool:
    largest = max(float(each.abs().max()) for each in expected)
    apart = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    return apart <= _ROUNDING.get(dtype, 1e-3) * largest
