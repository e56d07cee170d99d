"""Choosing the next token of one request from the logits of one position.

The order of the steps is vLLM's (penalties, temperature, min_p, top_k, top_p), so that the same
request means the same distribution on both engines. Running the model belongs to `decode`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ochat_serve.engine.base import TokenLogprobs
from ochat_serve.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.engine.base import SamplingParams
    from ochat_serve.engine.grammar import Constraint

# Below this a temperature only overflows the division; vLLM draws the line at the same place.
_GREEDY_BELOW = 1e-5


class Sampler:
    """Holds what choosing needs to remember: the ids so far and the random state."""

    def __init__(
        self,
        sampling: SamplingParams,
        prompt_ids: Sequence[int],
        constraint: Constraint | None = None,
    ) -> None:
        """Seed the request's own generator, so that no other request can move it.

        Args:
            sampling: How to choose.
            prompt_ids: For the penalties.
            constraint: What the answer must follow; None leaves it free.
        """
        self._constraint = constraint
        self._sampling = sampling
        self._prompt_ids = list(prompt_ids)
        self._counts: dict[int, int] = {}
        self._chosen = 0
        self.reported: TokenLogprobs | None = None  # of the last token, where asked for
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def choose(self, logits: torch.Tensor) -> int:
        """The next id.

        Args:
            logits: `(vocab,)`, of any float type, on any device; not changed.

        Raises:
            EngineError: The model produced a value that is not a number.
        """
        scores = logits.detach().to("cpu", torch.float32, copy=True)
        if not bool(torch.isfinite(scores).all()):
            raise EngineError(
                "The model's output is not finite; its weights or its precision are at fault."
            )
        if self._constraint is not None:
            _keep_allowed(scores, self._constraint.allowed())
        raw = scores.clone() if self._sampling.logprobs is not None else None
        for biased, amount in self._sampling.logit_bias:
            scores[biased] += amount
        self._penalise(scores)
        if self._chosen < self._sampling.min_tokens and self._sampling.stop_ids:
            scores[list(self._sampling.stop_ids)] = -torch.inf
        token = self._pick(scores)
        if self._constraint is not None:
            self._constraint.accept(token)
        self._chosen += 1
        self._counts[token] = self._counts.get(token, 0) + 1
        if raw is not None:
            self.reported = token_logprobs(raw, token, self._sampling.logprobs or 0)
        return token

    def _penalise(self, scores: torch.Tensor) -> None:
        """Apply the three penalties in place."""
        sampling = self._sampling
        if sampling.repetition_penalty != 1.0:
            seen = torch.tensor(sorted({*self._prompt_ids, *self._counts}))
            old = scores[seen]
            factor = sampling.repetition_penalty
            scores[seen] = torch.where(old > 0, old / factor, old * factor)
        if self._counts and (sampling.presence_penalty or sampling.frequency_penalty):
            ids = torch.tensor(list(self._counts))
            times = torch.tensor(list(self._counts.values()), dtype=torch.float32)
            scores[ids] -= sampling.presence_penalty + sampling.frequency_penalty * times

    def _pick(self, scores: torch.Tensor) -> int:
        """The best id, or one drawn from what the filters leave."""
        sampling = self._sampling
        if sampling.temperature < _GREEDY_BELOW:
            return int(torch.argmax(scores))
        scores = (scores - scores.max()) / sampling.temperature
        if sampling.min_p > 0.0:
            probabilities = torch.softmax(scores, dim=-1)
            scores[probabilities < sampling.min_p * probabilities.max()] = -torch.inf
        if 0 < sampling.top_k < scores.numel():
            smallest_kept = torch.topk(scores, sampling.top_k).values[-1]
            scores[scores < smallest_kept] = -torch.inf
        probabilities = torch.softmax(scores, dim=-1)
        if sampling.top_p < 1.0:
            ordered, order = torch.sort(probabilities, descending=True, stable=True)
            beyond = torch.cumsum(ordered, dim=-1) - ordered >= sampling.top_p
            beyond[0] = False
            probabilities[order[beyond]] = 0.0
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


def _keep_allowed(scores: torch.Tensor, allowed: bytearray) -> None:
    """Rule out every id but those marked; a model may have more ids than its tokenizer."""
    marks = torch.frombuffer(allowed, dtype=torch.uint8)[: scores.numel()]
    scores[marks.numel() :] = -torch.inf
    scores[: marks.numel()].masked_fill_(marks == 0, -torch.inf)


def token_logprobs(logits: torch.Tensor, token: int, count: int) -> TokenLogprobs:
    """How probable `token` and the `count` best ids are under the model's own distribution.

    Ids that were ruled out are not among the best.

    Args:
        logits: `(vocab,)`, float32.
        token: The id that stands there.
        count: How many of the best ids to report.
    """
    scores = torch.log_softmax(logits, dim=-1)
    best = torch.topk(scores, min(count, scores.numel()))
    ranked = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    top = tuple((i, value) for i, value in ranked if value > -math.inf)
    return TokenLogprobs(token_id=token, logprob=float(scores[token]), top=top)
