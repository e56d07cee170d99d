"""Measures a token dataset for its report: lengths, turns, shares, packing, languages, samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ochat_data import PackStatistics, pack_statistics, plan_batches
from ochat_data.errors import InputError
from ochat_data.record import Record
from ochat_templates import Conversation, Message

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ochat_data.dataset import TokenDataset, TokenSplit
    from ochat_data.manifest import Manifest
    from ochat_templates import Codec

_SAMPLES = 3
_LANGUAGE_SAMPLES = 400
_LONGEST_SAMPLE = 600
_WORLD_SIZES = (1, 8)
_CAPACITIES = (1, 4)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in `[edges[i], edges[i + 1])`."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SampleToken:
    """A token as text, with its id and weight."""

    text: str
    id: int
    weight: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The tokens of one example, the first few hundred of them."""

    id: str
    condition: str
    length: int
    tokens: tuple[SampleToken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFigures:
    """Everything that the page shows.

    Attributes:
        manifest: Of the dataset.
        lengths: Tokens of the train split's examples.
        length_quantiles: Smallest, median, mean, 95th percentile and greatest length.
        turns: Trained turns of the examples.
        packing: Capacity, ranks and how well one epoch packs into them.
        languages: Examples of a sample by language; None where nobody could tell.
        samples: A few examples with their tokens.
    """

    manifest: Manifest
    lengths: Histogram
    length_quantiles: tuple[float, ...]
    turns: Histogram
    packing: tuple[tuple[int, int, PackStatistics], ...]
    languages: Counter[str] | None
    samples: tuple[Sample, ...]


def collect_figures(dataset: TokenDataset, codec: Codec | None) -> DatasetFigures:
    """Measures the train split; with the codec also languages and texts.

    Raises:
        DatasetError: The dataset cannot be read.
    """
    split = dataset.split("train")
    lengths = split.lengths
    quantiles = (
        *(float(lengths.min()), float(np.median(lengths)), float(lengths.mean())),
        *(float(np.percentile(lengths, 95)), float(lengths.max())),
    )
    longest = int(lengths.max())
    packing = tuple(
        (capacity * longest, ranks, _packing(lengths, capacity * longest, ranks))
        for ranks in _WORLD_SIZES
        for capacity in _CAPACITIES
    )
    return DatasetFigures(
        manifest=dataset.manifest,
        lengths=length_histogram(lengths),
        length_quantiles=quantiles,
        turns=turn_histogram(split.turns),
        packing=packing,
        languages=None if codec is None else _languages(split, codec),
        samples=tuple(_sample(split, index, codec) for index in _spread(len(split), _SAMPLES)),
    )


def length_histogram(lengths: NDArray[np.int64]) -> Histogram:
    """Counts by powers of the square root of two, which suits lengths of any size."""
    highest = max(2, int(lengths.max()) + 1)
    powers = np.unique(np.round(2 ** np.arange(0, np.log2(highest) + 1, 0.5)).astype(int))
    lowest = int(lengths.min())
    edges = np.array([lowest, *powers[(powers > lowest) & (powers < highest)], highest])
    counts, _ = np.histogram(lengths, bins=edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def turn_histogram(turns: NDArray[np.int64]) -> Histogram:
    """Counts of 0, 1, 2, ... 9, and ten or more turns."""
    counts = np.bincount(np.minimum(turns, 10), minlength=11)
    return Histogram(tuple(range(12)), tuple(counts.tolist()))


def _packing(lengths: NDArray[np.int64], capacity: int, ranks: int) -> PackStatistics:
    plan = plan_batches(lengths, capacity=capacity, world_size=ranks)
    return pack_statistics(plan, lengths)


def _spread(count: int, wanted: int) -> list[int]:
    """Places spread evenly over `count`."""
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, wanted))})


def _languages(split: TokenSplit, codec: Codec) -> Counter[str] | None:
    from ochat_data.language import conversation_language, open_detector

    try:
        detect = open_detector()
    except InputError:
        return None  # the package is not installed, which the page says
    found: Counter[str] = Counter()
    for index in _spread(len(split), _LANGUAGE_SAMPLES):
        example = split.example(index)
        texts = [codec.decode(run) for run in _trained_runs(example.ids, example.weights)]
        messages = tuple(Message(role="assistant", content=text) for text in texts if text)
        if messages:
            record = Record(id="", conversation=Conversation(messages=messages))
            found[conversation_language(record, detect)] += 1
    return found


def _trained_runs(ids: NDArray[np.int32], weights: NDArray[np.float32]) -> Iterator[Sequence[int]]:
    borders = np.flatnonzero(np.diff(weights != 0)) + 1
    for run, weight in zip(np.split(ids, borders), np.split(weights, borders), strict=True):
        if len(run) and weight[0]:
            yield run.tolist()


def _sample(split: TokenSplit, index: int, codec: Codec | None) -> Sample:
    example = split.example(index)
    ids = example.ids[:_LONGEST_SAMPLE].tolist()
    names = {} if codec is None else {number: name for name, number in codec.control_ids.items()}
    decoder = None if codec is None else codec.stream_decoder()
    tokens: list[SampleToken] = []
    for token_id, weight in zip(ids, example.weights.tolist(), strict=False):
        text = names.get(token_id, "")
        if not text:
            text = str(token_id) if decoder is None else decoder.push([token_id])
        tokens.append(SampleToken(text, token_id, weight))
    return Sample(example.id, example.condition, len(example.ids), tuple(tokens))
