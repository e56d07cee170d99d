"""Loss weights of whole datasets: how each OpenChat release counted what it learnt from.

A message's own weight says whether and how much it counts; a preset says per what (token, turn or
conversation) and how conditions are balanced against each other. With n conversations, n_c of them
under condition c, and w the message's weight, a token of an answer counts:

    per-message   w                                          OpenChat 3.5 and later
    uniform       1 where w > 0                              V1, V2
    v2w           n / n_c                                    V2-W
    v3-balanced   n / n_c / supervised tokens of the example V3.1, V3.2 (--loss_balancing)
    turn-mean     w / tokens of the turn                     3.5 with --per-sequence-loss
    turn-balanced n / n_c / tokens of the turn               3.3, never released
    crlft-0.1     1 under the expert's condition, else 0.1   V3.2 SUPER, and arXiv 2309.11235
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Literal

from .errors import LabelError

if TYPE_CHECKING:
    from ochat_templates import Encoded, Span

# OpenChat's C-RLFT paper (arXiv 2309.11235): 1 for the expert source, 0.1 for the others.
OTHER_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class _Preset:
    """Per what an answer counts, whether its own weight matters, and how conditions are weighed."""

    unit: Literal["token", "turn", "sequence"] = "token"
    keeps_message_weights: bool = False
    conditions: Literal["alike", "balanced", "expert"] = "alike"


_PRESETS = {
    "per-message": _Preset(keeps_message_weights=True),
    "uniform": _Preset(),
    "v2w": _Preset(conditions="balanced"),
    "v3-balanced": _Preset("sequence", conditions="balanced"),
    "turn-mean": _Preset("turn", keeps_message_weights=True),
    "turn-balanced": _Preset("turn", conditions="balanced"),
    "crlft-0.1": _Preset(conditions="expert"),
}
PRESETS = tuple(_PRESETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """A preset, and what a user wants otherwise.

    Attributes:
        preset: One of `PRESETS`.
        expert: The condition of the expert, for `crlft-0.1`; empty means the one that the template
            answers with.
        conditions: Factors of one's own by condition, on top of the preset; others count 1.
    """

    preset: str = "per-message"
    expert: str = ""
    conditions: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        if self.preset not in _PRESETS:
            raise LabelError(f"no weights {self.preset!r}; choose one of {', '.join(PRESETS)}")
        for condition, factor in self.conditions.items():
            if not (isfinite(factor) and factor >= 0):
                raise LabelError(f"the factor of {condition!r} must be from 0 up, not {factor}")

    @property
    def needs_counts(self) -> bool:
        """Whether a weight depends on how many examples each condition has."""
        return _PRESETS[self.preset].conditions == "balanced"

    def of_turns(self, encoded: Encoded) -> Encoded:
        """The weights of a whole conversation, before anything is cut off it."""
        preset = _PRESETS[self.preset]
        if preset.keeps_message_weights and preset.unit != "turn":
            return encoded
        spans = tuple(
            _weighted(
                span,
                (span.weight if preset.keeps_message_weights else float(span.weight > 0))
                / (span.end - span.start if preset.unit == "turn" else 1),
            )
            for span in encoded.spans
        )
        return replace(encoded, spans=spans)

    def of_example(self, encoded: Encoded) -> Encoded:
        """The weights of what was kept of it: presets that count per example divide by its size."""
        if _PRESETS[self.preset].unit != "sequence":
            return encoded
        supervised = sum(max(0, span.end - max(1, span.start)) for span in encoded.spans)
        spans = tuple(_weighted(span, span.weight / max(1, supervised)) for span in encoded.spans)
        return replace(encoded, spans=spans)

    def factors(self, examples: Mapping[str, int]) -> dict[str, float]:
        """The factor of each condition, given how many examples have it."""
        rule = _PRESETS[self.preset].conditions
        total = sum(examples.values())
        factors: dict[str, float] = {}
        for condition, count in sorted(examples.items()):
            factor = 1.0
            if rule == "balanced" and count:
                factor = total / count
            elif rule == "expert" and condition != self.expert:
                factor = OTHER_WEIGHT
            factors[condition] = factor * self.conditions.get(condition, 1.0)
        return factors


def _weighted(span: Span, weight: float) -> Span:
    return replace(span, weight=weight)
