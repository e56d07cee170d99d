"""The learning rate of every step, as a pure function, so that resuming needs no schedule state."""

from __future__ import annotations

import math
from dataclasses import dataclass

# OpenChat's published share of the steps (`--lr_warmup_ratio 0.05`).
_DEFAULT_WARMUP_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineSchedule:
    """Linear warm-up, then half a cosine down to a share of the peak.

    Attributes:
        peak: the learning rate at the end of the warm-up.
        total_steps: steps of the whole run, all epochs.
        warmup_steps: steps of the warm-up; None is 5 % of the total.
        min_ratio: the last learning rate as a share of the peak.
    """

    peak: float
    total_steps: int
    warmup_steps: int | None = None
    min_ratio: float = 0.1

    def __call__(self, step: int) -> float:
        """Learning rate of the step with this number, counted from 0."""
        warmup = self.warmup_steps
        if warmup is None:
            warmup = round(self.total_steps * _DEFAULT_WARMUP_SHARE)
        if step < warmup:
            return self.peak * (step + 1) / warmup
        # The last step has progress 1, hence exactly the minimum.
        progress = (step - warmup) / max(1, self.total_steps - 1 - warmup)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * (self.min_ratio + (1.0 - self.min_ratio) * cosine)
