"""Turns one record into the examples that are trained on: encodes, weighs, fits into a length.

How text becomes ids is `ochat_templates`' business, how examples are stored `dataset_writer`'s.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ochat_templates import Encoded, Span

from .errors import DatasetError
from .manifest import DOCUMENT_CONDITION
from .mixing import copy_id, hash_share
from .truncation import TRUNCATIONS, fit
from .weighting import Weighting

if TYPE_CHECKING:
    from ochat_templates import Codec, Conversation

    from .record import Record

# More distinct weights of one condition than this are not listed in the manifest.
_MOST_WEIGHTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeOptions:
    """How records become examples.

    Attributes:
        max_length: Most tokens of an example; None means the template's context length.
        truncation: What happens to a longer one: `cut` keeps its first tokens, `cut-trim` these
            without a tail that has no weight, `turns` the exchanges that fit whole, `split` makes
            several examples of it between exchanges, `drop` leaves it out.
        weighting: What the tokens of an answer count.
        eval_fraction: Share of the records held out as the `eval` split, by a hash of their id.
        seed: Changes which records are held out.
    """

    max_length: int | None = None
    truncation: str = "cut"
    weighting: Weighting = field(default_factory=Weighting)
    eval_fraction: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses values that make no sense."""
        if self.max_length is not None and self.max_length < 2:
            raise DatasetError(f"max_length must be at least 2, not {self.max_length}")
        if self.truncation not in TRUNCATIONS:
            raise DatasetError(
                f"no truncation {self.truncation!r}; choose one of {', '.join(TRUNCATIONS)}"
            )
        if not 0 <= self.eval_fraction < 1:
            raise DatasetError(
                f"eval_fraction must be at least 0 and below 1, not {self.eval_fraction}"
            )


class EncodedExample(NamedTuple):
    """One encoded example, ready to be stored."""

    id: str
    split: str
    condition: str
    encoded: Encoded
    source: str = ""


@dataclass(slots=True, kw_only=True)
class TokenizeCounts:
    """What became of the records so far; every record is used or counted under one reason."""

    used: int = 0
    examples: int = 0
    tokens: int = 0
    cut: int = 0
    split: int = 0
    too_long: int = 0
    lost_tokens: int = 0
    nothing_to_learn: int = 0
    weights: dict[str, Counter[float]] = field(default_factory=dict)

    def add(self, other: TokenizeCounts) -> None:
        """Adds what became of other records."""
        for name in self.__slots__:
            if name != "weights":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        for condition, met in other.weights.items():
            self.weights.setdefault(condition, Counter()).update(met)

    def listed_weights(self) -> dict[str, tuple[float, ...]]:
        """The distinct message weights of each condition, the commonest where there are many."""
        return {
            condition: tuple(
                sorted(
                    weight
                    for weight, _ in sorted(met.items(), key=lambda pair: (-pair[1], pair[0]))[
                        :_MOST_WEIGHTS
                    ]
                )
            )
            for condition, met in sorted(self.weights.items())
        }


class ExampleMaker:
    """Makes examples with one codec and one set of options, and counts them."""

    def __init__(self, codec: Codec, options: TokenizeOptions) -> None:
        """Takes both; what the options leave open, length and expert, the template decides."""
        self.codec = codec
        expert = options.weighting.expert or codec.template.condition.default
        self.options = replace(options, weighting=replace(options.weighting, expert=expert))
        self.max_length = options.max_length or codec.template.context_length
        self.counts = TokenizeCounts()

    def make(self, record: Record) -> list[EncodedExample]:
        """The examples of a record; none if it was left out (and counted).

        Raises:
            ConversationError: The template does not take its roles, condition or system text.
        """
        counts = self.counts
        if record.is_document:
            condition, made = DOCUMENT_CONDITION, self._document(record)
        else:
            condition = self.codec.template.resolve_condition(
                record.conversation.condition, training=True
            )
            made = self._conversation(record.conversation, condition)
        learnt = [encoded for encoded in made if _can_be_learnt(encoded)]
        if not learnt:
            counts.nothing_to_learn += bool(made)
            return []
        counts.used += 1
        counts.examples += len(learnt)
        counts.tokens += sum(len(encoded.ids) for encoded in learnt)
        split = self._split_of(record.id)
        return [
            EncodedExample(copy_id(record.id, part), split, condition, encoded, record.source)
            for part, encoded in enumerate(learnt)
        ]

    def _conversation(self, conversation: Conversation, condition: str) -> list[Encoded]:
        options, counts = self.options, self.counts
        encoded = options.weighting.of_turns(self.codec.encode(conversation))
        self._note_weights(conversation, condition)
        if len(encoded.ids) <= self.max_length and options.truncation != "cut-trim":
            return [options.weighting.of_example(encoded)]
        fitted = fit(encoded, self.max_length, options.truncation)
        counts.lost_tokens += fitted.lost
        if len(fitted.examples) > 1:
            counts.split += 1
        elif not fitted.examples and len(encoded.ids) > self.max_length:
            counts.too_long += 1
        elif fitted.lost and len(encoded.ids) > self.max_length:
            counts.cut += 1
        return [options.weighting.of_example(example) for example in fitted.examples]

    def _document(self, record: Record) -> list[Encoded]:
        """The whole document in pieces of the greatest length, each behind a BOS."""
        ids = self.codec.encode_text(record.text)
        bos = self.codec.bos_id
        head: list[int] = [] if bos is None else [bos]
        room = self.max_length - len(head)
        weight = 1.0 if record.weight is None else record.weight
        pieces: list[list[int]] = [ids[start : start + room] for start in range(0, len(ids), room)]
        self.counts.split += len(pieces) > 1
        return [
            Encoded(
                ids=head + piece,
                spans=(Span(start=len(head), end=len(head) + len(piece), weight=weight),),
            )
            for piece in pieces
        ]

    def _split_of(self, record_id: str) -> str:
        fraction = self.options.eval_fraction
        held_out = fraction and hash_share(record_id, self.options.seed) < fraction
        return "eval" if held_out else "train"

    def _note_weights(self, conversation: Conversation, condition: str) -> None:
        met = self.counts.weights.setdefault(condition, Counter())
        for message in conversation.messages:
            if message.role == "assistant":
                met[message.loss_weight] += 1


def _can_be_learnt(encoded: Encoded) -> bool:
    """Whether a token that is predicted has a weight; the first one never is."""
    return any(span.weight and span.end > max(1, span.start) for span in encoded.spans)
