"""The learning rate of every step, as a pure function, so that resuming needs no schedule state."""

from __future__ import annotations

import math
from dataclasses import dataclass

# OpenChat's published share of the steps (`--lr_warmup_ratio 0.05`).
_DEFAULT_WARMUP_SHARE = 0.05


# Llama's pre-training: this learning rate at batches of this many tokens (arXiv 2302.13971);
# Mistral and Gemma want a sixth of it, by OpenChat's 3.5 releases.
_PRETRAINING_LR, _PRETRAINING_TOKENS = 3e-4, 4_000_000
_SMALLER = {"mistral": 6.0, "gemma": 6.0}
# An adapter learns best at about ten times the rate of the weights themselves, by common practice.
ADAPTER_RATE = 10.0


def automatic_lr(supervised_tokens: float, architecture: str) -> float:
    """The peak learning rate for a batch, by OpenChat's rule: as the root of the batch's size.

    Args:
        supervised_tokens: mean over the steps of the tokens that count, all ranks together.
        architecture: `model_type` of the model's config.
    """
    divisor = next((by for name, by in _SMALLER.items() if architecture.startswith(name)), 1.0)
    return _PRETRAINING_LR / divisor * math.sqrt(supervised_tokens / _PRETRAINING_TOKENS)


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

    def __call__(self, step: float) -> float:
        """Learning rate of the step with this number, counted from 0; also between two steps."""
        warmup = self.warmup_steps
        if warmup is None:
            warmup = round(self.total_steps * _DEFAULT_WARMUP_SHARE)
        if step < warmup:
            return self.peak * (step + 1) / warmup
        # The last step has progress 1, hence exactly the minimum.
        progress = (step - warmup) / max(1, self.total_steps - 1 - warmup)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * (self.min_ratio + (1.0 - self.min_ratio) * cosine)
