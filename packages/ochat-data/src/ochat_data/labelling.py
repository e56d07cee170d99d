"""Gives records a condition by the model that answered, and their answers a loss weight.

Which conditions a template allows is checked when records are tokenized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ochat_templates import Message

from .errors import LabelError
from .record import Record
from .weighting import OTHER_WEIGHT

WEIGHT_PRESETS = ("crlft-0.1", "uniform")
UNMATCHED = ("error", "drop", "keep")
ANY_MODEL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """Model names and the condition each stands for; the first condition is the expert's.

    Attributes:
        conditions: Pairs of model (or `*` for any other) and condition, in order.
        weights: `crlft-0.1` or `uniform`.
    """

    conditions: tuple[tuple[str, str], ...]
    weights: str = "uniform"

    @classmethod
    def parse(cls, entries: Sequence[str], *, weights: str = "uniform") -> LabelMap:
        """Reads entries of the form `MODEL=CONDITION`, split at the last `=`.

        Raises:
            LabelError: An entry has no `=`, or names a model again.
        """
        if weights not in WEIGHT_PRESETS:
            raise LabelError(f"no weights {weights!r}; choose one of {', '.join(WEIGHT_PRESETS)}")
        pairs: list[tuple[str, str]] = []
        for entry in entries:
            model, separator, condition = entry.rpartition("=")
            if not separator or not model:
                raise LabelError(f"--map takes MODEL=CONDITION, such as gpt-4=GPT4, not {entry!r}")
            if any(model == known for known, _ in pairs):
                raise LabelError(f"--map names the model {model!r} twice; give it one condition")
            pairs.append((model, condition))
        if not pairs:
            raise LabelError("give at least one --map MODEL=CONDITION, the expert's first")
        return cls(conditions=tuple(pairs), weights=weights)

    def condition_of(self, model: str) -> str | None:
        """The condition for a model; None where no entry matches."""
        table = dict(self.conditions)
        return table.get(model, table.get(ANY_MODEL))

    def weight_of(self, condition: str) -> float:
        """The loss weight of answers under a condition."""
        expert = self.conditions[0][1]
        return 1.0 if self.weights == "uniform" or condition == expert else OTHER_WEIGHT


def label_record(record: Record, labels: LabelMap) -> Record | None:
    """Returns the record with condition and weights; None where its model is not in the map.

    The weight goes on every assistant message, but one that had weight 0 keeps it: its source
    says that it is not to be learnt.
    """
    condition = labels.condition_of(record.model)
    if condition is None:
        return None
    weight = labels.weight_of(condition)
    messages = tuple(_weighted(message, weight) for message in record.conversation.messages)
    conversation = replace(record.conversation, condition=condition, messages=messages)
    return replace(record, conversation=conversation)


def _weighted(message: Message, weight: float) -> Message:
    if message.role != "assistant" or message.weight == 0:
        return message
    return replace(message, weight=weight)
