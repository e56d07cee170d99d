"""The loss on held-out conversations, overall and for each condition.

Uses the training loss's definition: weighted by the loss weights, so that the overall figure can be
compared with the training loss; inside a condition it is what that condition's tokens cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .batch import collate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .batch import TokenExample
    from .engine import Engine
    from .run_plan import EpochPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutFigures:
    """Figures over some supervised tokens.

    Attributes:
        loss: weighted mean negative log-likelihood, in nats a token.
        accuracy: share of the supervised tokens that were the most likely one.
        tokens: number of supervised tokens.
    """

    loss: float
    accuracy: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutResult:
    """The held-out figures after an epoch.

    Attributes:
        step: steps done.
        epoch: epochs done.
        overall: over all held-out tokens.
        conditions: per condition ("" for conversations without one).
    """

    step: int
    epoch: int
    overall: HeldOutFigures
    conditions: Mapping[str, HeldOutFigures]

    def to_json(self) -> dict[str, object]:
        """The event of the metrics file."""
        return {
            "event": "eval",
            "step": self.step,
            "epoch": self.epoch,
            **_fields(self.overall),
            "conditions": {name: _fields(figures) for name, figures in self.conditions.items()},
        }


def evaluate_held_out(engine: Engine, plan: EpochPlan, *, step: int, epoch: int) -> HeldOutResult:
    """Evaluates the model on all held-out examples; called on every rank."""
    names = sorted(set(plan.source.conditions))
    # Rows: conditions; columns: weighted loss, weight, correct, supervised tokens.
    sums = torch.zeros(len(names), 4, dtype=torch.float64)
    was_training = engine.model.training
    engine.model.eval()
    for number in range(plan.plan.steps):
        examples = [plan.source.example(int(i)) for i in plan.plan.batch(number, engine.data_rank)]
        # A rank without work still takes part: the others may need its shard of the weights.
        batch_sums = _batch_sums(engine, examples, names)
        if examples:
            sums += batch_sums
    engine.model.train(was_training)
    sums = engine.sum_over_ranks(sums)
    return HeldOutResult(
        step=step,
        epoch=epoch,
        overall=_figures(sums.sum(0)),
        conditions={name: _figures(row) for name, row in zip(names, sums, strict=True) if row[3]},
    )


def _batch_sums(engine: Engine, examples: Sequence[TokenExample], names: list[str]) -> torch.Tensor:
    batch = engine.own(collate(examples))
    figures = engine.evaluate(batch).double().cpu()
    known = torch.from_numpy(batch.sums)
    columns = torch.stack([figures[:, 0], known[:, 0], figures[:, 1], known[:, 1]], dim=1)
    places = [names.index(name) if name in names else 0 for name in batch.conditions]
    condition = torch.tensor(places)
    return torch.zeros(len(names), 4, dtype=torch.float64).index_add_(0, condition, columns)


def _figures(row: torch.Tensor) -> HeldOutFigures:
    loss, weight, correct, tokens = row.tolist()
    return HeldOutFigures(loss=loss / weight, accuracy=correct / tokens, tokens=int(tokens))


def _fields(figures: HeldOutFigures) -> dict[str, object]:
    return {"loss": figures.loss, "accuracy": figures.accuracy, "tokens": figures.tokens}
