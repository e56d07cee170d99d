"""Records to a token dataset: makes examples, writes them, and says in a manifest how.

How a record becomes examples is `examples`' business, how they are stored `dataset_writer`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .dataset_writer import TokenDatasetWriter
from .errors import DatasetError
from .examples import ExampleMaker, TokenizeCounts, TokenizeOptions
from .manifest import (
    DOCUMENT_CONDITION,
    Manifest,
    SourceInfo,
    SplitInfo,
    StageInfo,
    Truncation,
    library_versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from ochat_templates import Codec

    from .record import Record


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
        self._maker = ExampleMaker(codec, options or TokenizeOptions())
        self._writer = TokenDatasetWriter(output, overwrite=overwrite)
        self._examples: dict[str, int] = {}

    @property
    def counts(self) -> TokenizeCounts:
        """What became of the records so far."""
        return self._maker.counts

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
        examples = self._maker.make(record)
        for example in examples:
            self._writer.add(
                example.split, example.id, example.encoded, example.condition, example.source
            )
        if examples:
            condition = examples[0].condition
            self._examples[condition] = self._examples.get(condition, 0) + len(examples)
        return bool(examples)

    def finish(
        self, sources: Sequence[SourceInfo] = (), stages: Sequence[StageInfo] = ()
    ) -> Manifest:
        """Writes the manifest and puts the dataset in place.

        Raises:
            DatasetError: No example is left, or none to train on.
        """
        require_examples(self.counts, self._maker.max_length)
        factors = weight_factors(self._maker.options, self._examples)
        if any(factor != 1 for factor in factors.values()):
            self._writer.scale(factors)
        manifest = make_manifest(
            self._maker,
            self._writer.close_shards(),
            factors,
            sources=tuple(sources),
            stages=tuple(stages),
        )
        self._writer.finish(manifest)
        return manifest


def weight_factors(options: TokenizeOptions, examples: Mapping[str, int]) -> dict[str, float]:
    """What the weights of each condition are multiplied by; documents keep theirs."""
    chats = {name: count for name, count in examples.items() if name != DOCUMENT_CONDITION}
    return options.weighting.factors(chats)


def require_examples(counts: TokenizeCounts, max_length: int) -> None:
    """Refuses to write a dataset of nothing.

    Raises:
        DatasetError: No example is left.
    """
    if not counts.examples:
        raise DatasetError(
            "nothing was left to train on: "
            f"{counts.nothing_to_learn} examples had no answer with a weight, "
            f"{counts.too_long} were longer than {max_length} tokens"
        )


def make_manifest(
    maker: ExampleMaker,
    splits: Mapping[str, SplitInfo],
    factors: Mapping[str, float],
    *,
    sources: tuple[SourceInfo, ...],
    stages: tuple[StageInfo, ...],
    recipe: str = "",
) -> Manifest:
    """Describes a dataset whose shards are written.

    Raises:
        DatasetError: Everything was held out for evaluation.
    """
    if not splits["train"].totals.examples:
        raise DatasetError("all examples fell into the eval split; lower --eval-fraction")
    codec, counts, options = maker.codec, maker.counts, maker.options
    return Manifest(
        template=codec.template.name,
        fingerprint=codec.fingerprint,
        vocab_size=codec.vocab_size,
        context_length=maker.max_length,
        truncation=Truncation(
            policy=options.truncation,
            cut=counts.cut,
            split=counts.split,
            dropped=counts.too_long,
            lost_tokens=counts.lost_tokens,
        ),
        nothing_to_learn=counts.nothing_to_learn,
        weight_preset=options.weighting.preset,
        weight_factors=dict(factors),
        weights=counts.listed_weights(),
        seed=options.seed,
        eval_fraction=options.eval_fraction,
        sources=sources,
        versions=library_versions(),
        splits=dict(splits),
        stages=stages,
        recipe=recipe,
    )


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
