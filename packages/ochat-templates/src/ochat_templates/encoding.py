"""Encoded: a conversation as token ids, with what each of them counts and where it came from.

The codec fills it; nothing here knows a tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

# The label that cross-entropy losses skip, in PyTorch and everywhere after it.
IGNORED_LABEL = -100

SegmentKind = Literal["bos", "condition", "system", "prefix", "content", "eot", "suffix"]
# What the codec notes while it encodes: a segment's kind, its first token and its message.
Mark = tuple[SegmentKind, int, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A run of tokens `[start, end)` that shares one loss weight."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of tokens `[start, end)` with one origin.

    Attributes:
        kind: `bos`; the text of the `condition` turn or of the `system` turn; a role `prefix`;
            a message's `content`; an `eot`; the text after it, `suffix`.
        start: Its first token.
        end: The token after its last one.
        message: The index of the message it belongs to; None before the first message.
        weight: The loss weight of its tokens.
    """

    kind: SegmentKind
    start: int
    end: int
    message: int | None
    weight: float


class Shifted(NamedTuple):
    """Labels and weights moved one to the left: what position `t` is to predict.

    Attributes:
        labels: The id after each token, `ignore` where it carries no weight; shape `(tokens,)`.
        weights: The loss weight of that prediction, shape `(tokens,)`; the last one is 0.
    """

    labels: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A conversation in the training form.

    Attributes:
        ids: Token ids, shape `(tokens,)`.
        spans: Where the loss weight is not zero, sorted and disjoint. A weight belongs to the
            token itself: it counts when that token is predicted from the ones before it.
        marks: Where each segment starts, as the codec noted it; read `segments` instead.
    """

    ids: list[int]
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...] = field(default=(), repr=False, compare=False)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Every token's origin, in order and without a gap.

        Empty where the conversation was put together from ids and not by a codec.
        """
        if not self.marks:
            return ()
        weight_at = {span.start: span.weight for span in self.spans}
        ends = [start for _, start, _ in self.marks[1:]] + [len(self.ids)]
        segments: list[Segment] = []
        weight = 0.0
        for (kind, start, message), end in zip(self.marks, ends, strict=True):
            if start == end:
                continue
            weight = weight_at.get(start, weight if kind == "eot" else 0.0)
            segments.append(
                Segment(kind=kind, start=start, end=end, message=message, weight=weight)
            )
        return tuple(segments)

    def weights(self) -> list[float]:
        """One unshifted loss weight an id, shape `(tokens,)`."""
        weights = [0.0] * len(self.ids)
        for span in self.spans:
            weights[span.start : span.end] = [span.weight] * (span.end - span.start)
        return weights

    def labels(self, ignore: int = IGNORED_LABEL) -> list[int]:
        """The unshifted labels, shape `(tokens,)`: the id where it is trained, else `ignore`."""
        labels = [ignore] * len(self.ids)
        for span in self.spans:
            labels[span.start : span.end] = self.ids[span.start : span.end]
        return labels

    def shifted(self, ignore: int = IGNORED_LABEL) -> Shifted:
        """Labels and weights for a trainer that does not shift them itself."""
        return Shifted(
            labels=[*self.labels(ignore)[1:], ignore][: len(self.ids)],
            weights=[*self.weights()[1:], 0.0][: len(self.ids)],
        )
