"""Records to a token dataset: encodes, limits lengths, holds out an evaluation split.

How text becomes ids is `ochat_templates`' business, how they are stored is `dataset_writer`'s.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ochat_templates import Encoded, Span

from .dataset_writer import TokenDatasetWriter, count
from .errors import DatasetError
from .manifest import TRUNCATIONS, Manifest, SourceInfo, Truncation, library_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from ochat_templates import Codec, Conversation

    from .record import Record

# More distinct weights of one condition than this are not listed in the manifest.
_MOST_WEIGHTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeOptions:
    """How conversations become examples.

    Attributes:
        max_length: Most tokens of an example; None means the template's context length.
        truncation: `cut` keeps the first `max_length` tokens of a longer example, `drop` leaves
            it out.
        eval_fraction: Share of the records held out as the `eval` split, by a hash of their id.
        seed: Changes which records are held out.
    """

    max_length: int | None = None
    truncation: str = "cut"
    eval_fraction: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses values that make no sense."""
        if self.max_length is not None and self.max_length < 2:
            raise DatasetError(f"max_length must be at least 2, not {self.max_length}")
        if self.truncation not in TRUNCATIONS:
            raise DatasetError(
                f"no truncation {self.truncation!r}; choose {' or '.join(TRUNCATIONS)}"
            )
        if not 0 <= self.eval_fraction < 1:
            raise DatasetError(
                f"eval_fraction must be at least 0 and below 1, not {self.eval_fraction}"
            )


@dataclass(slots=True, kw_only=True)
class TokenizeCounts:
    """What became of the records so far."""

    examples: int = 0
    tokens: int = 0
    cut: int = 0
    too_long: int = 0
    nothing_to_learn: int = 0
    weights: dict[str, Counter[float]] = field(default_factory=dict)
    explicit_weights: bool = False


class TokenDatasetBuilder:
    """Turns records into a token dataset one by one; use as a context manager.

    Leaving the context without `finish` leaves no trace on disk.
    """

    def __init__(
        self,
        output: Path,
        codec: Codec,
        options: TokenizeOptions | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Checks that the output may be written.

        Raises:
            OutputError: The output exists and is not empty, and may not be overwritten.
        """
        self._codec = codec
        self._options = options or TokenizeOptions()
        self._max_length = self._options.max_length or codec.template.context_length
        self._writer = TokenDatasetWriter(output, overwrite=overwrite)
        self.counts = TokenizeCounts()

    def __enter__(self) -> TokenDatasetBuilder:
        """Makes room beside the output."""
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes what `finish` did not put in place."""
        self._writer.__exit__(kind, error, trace)

    def add(self, record: Record) -> bool:
        """Encodes a record and appends it; False if it was left out (and counted).

        Raises:
            ConversationError: The template does not take its roles, condition or system text.
        """
        conversation, counts = record.conversation, self.counts
        encoded = self._codec.encode(conversation)
        if len(encoded.ids) > self._max_length:
            if self._options.truncation == "drop":
                counts.too_long += 1
                return False
            counts.cut += 1
            encoded = cut(encoded, self._max_length)
        totals = count(encoded)
        if not totals.loss_weight:
            counts.nothing_to_learn += 1
            return False
        condition = self._codec.template.resolve_condition(conversation.condition, training=True)
        self._note_weights(conversation, condition)
        counts.examples += 1
        counts.tokens += totals.tokens
        self._writer.add(self._split_of(record.id), record.id, encoded, condition)
        return True

    def finish(self, sources: Sequence[SourceInfo] = ()) -> Manifest:
        """Writes the manifest and puts the dataset in place.

        Raises:
            DatasetError: No example is left, or none to train on.
        """
        counts, options = self.counts, self._options
        if not counts.examples:
            raise DatasetError(
                "nothing was left to train on: "
                f"{counts.nothing_to_learn} examples had no answer with a weight, "
                f"{counts.too_long} were longer than {self._max_length} tokens"
            )
        splits = self._writer.close_shards()
        if not splits["train"].totals.examples:
            raise DatasetError("all examples fell into the eval split; lower --eval-fraction")
        manifest = Manifest(
            template=self._codec.template.name,
            fingerprint=self._codec.fingerprint,
            vocab_size=self._codec.vocab_size,
            context_length=self._max_length,
            truncation=Truncation(
                policy=options.truncation, cut=counts.cut, dropped=counts.too_long
            ),
            nothing_to_learn=counts.nothing_to_learn,
            weight_preset="per-message" if counts.explicit_weights else "uniform",
            weights=_listed(counts.weights),
            seed=options.seed,
            eval_fraction=options.eval_fraction,
            sources=tuple(sources),
            versions=library_versions(),
            splits=splits,
        )
        self._writer.finish(manifest)
        return manifest

    def _split_of(self, record_id: str) -> str:
        fraction = self._options.eval_fraction
        if not fraction:
            return "train"
        key = f"{self._options.seed}:{record_id}".encode()
        draw = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2**64
        return "eval" if draw < fraction else "train"

    def _note_weights(self, conversation: Conversation, condition: str) -> None:
        met = self.counts.weights.setdefault(condition, Counter())
        for message in conversation.messages:
            if message.role == "assistant":
                met[message.loss_weight] += 1
            self.counts.explicit_weights |= message.weight is not None


def cut(encoded: Encoded, length: int) -> Encoded:
    """The first `length` tokens, with their spans."""
    spans = tuple(
        Span(start=span.start, end=min(span.end, length), weight=span.weight)
        for span in encoded.spans
        if span.start < length
    )
    return Encoded(ids=encoded.ids[:length], spans=spans)


def write_token_dataset(
    output: Path,
    records: Iterable[Record],
    codec: Codec,
    options: TokenizeOptions | None = None,
    *,
    overwrite: bool = False,
    sources: Sequence[SourceInfo] = (),
) -> Manifest:
    """Tokenizes records into a new token dataset.

    Raises:
        OutputError: The output exists and is not empty, and may not be overwritten.
        ConversationError: A record does not fit the template.
        DatasetError: No example is left.
    """
    with TokenDatasetBuilder(output, codec, options, overwrite=overwrite) as builder:
        for record in records:
            builder.add(record)
        return builder.finish(sources)


def _listed(weights: dict[str, Counter[float]]) -> dict[str, tuple[float, ...]]:
    """The distinct weights of each condition, commonest first where there are too many."""
    return {
        condition: tuple(sorted(weight for weight, _ in met.most_common(_MOST_WEIGHTS)))
        for condition, met in sorted(weights.items())
    }
