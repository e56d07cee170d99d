"""Manifest: what a token dataset holds and how it was made, stored as its `manifest.json`.

Describes only; the tokens lie in the Parquet shards beside it, whose digests it holds, so that two
datasets with other tokens have other manifests. It holds no time and no path, so the same input
gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from ochat_templates import Fingerprint, FingerprintMismatchError

from .errors import DatasetError

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
SPLITS = ("train", "eval")
# What stands for a condition in examples made of plain text.
DOCUMENT_CONDITION = "document"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """An input file: its name, the SHA-256 of its bytes (empty for a pipe), its records."""

    name: str
    sha256: str
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over examples; only predicted positions (all but the first) can be supervised.

    Attributes:
        examples: Number of examples.
        tokens: Number of tokens.
        supervised_tokens: Predicted tokens whose weight is not zero.
        loss_weight: Sum of the weights of the predicted tokens.
    """

    examples: int = 0
    tokens: int = 0
    supervised_tokens: int = 0
    loss_weight: float = 0.0

    def plus(self, other: Totals) -> Totals:
        """The sums of both."""
        return Totals(
            examples=self.examples + other.examples,
            tokens=self.tokens + other.tokens,
            supervised_tokens=self.supervised_tokens + other.supervised_tokens,
            loss_weight=self.loss_weight + other.loss_weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """One split.

    Attributes:
        shards: The SHA-256 of each shard file in hexadecimal by the file's name, in order.
        totals: Sums over all examples.
        conditions: The same of each condition.
    """

    shards: Mapping[str, str] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    conditions: Mapping[str, Totals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """What was done with long examples.

    Attributes:
        policy: One of `truncation.TRUNCATIONS`.
        cut: Records of which something was cut off.
        split: Records that became several examples.
        dropped: Records that were left out.
        lost_tokens: Tokens that are in no example for one of these reasons.
    """

    policy: str
    cut: int = 0
    split: int = 0
    dropped: int = 0
    lost_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInfo:
    """The balance of one step: read = written + rejected + all that was dropped, by reason.

    A step that makes several records of one, or none, writes what it made under `written` and
    what it made them of under `used`; what it mended in records that it used, under `repairs`.
    """

    name: str
    read: int
    used: int
    written: int
    rejected: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    repairs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about a token dataset but its tokens.

    Attributes:
        template: Name of the template.
        fingerprint: Of the codec that made the tokens; a model must have the same.
        vocab_size: Rows an embedding table needs for these ids.
        context_length: The greatest length an example may have here.
        truncation: What was done with longer ones.
        nothing_to_learn: Examples left out because no token of theirs had a weight.
        weight_preset: How answers were counted, one of `weighting.PRESETS`.
        weight_factors: What all weights of a condition were multiplied by.
        weights: The message weights met, by condition, before preset and factors.
        stages: What became of the records on their way, where one program knows all of it.
        recipe: SHA-256 of the pipeline and its inputs, where a pipeline made it.
        seed: Seed of the train/eval split.
        eval_fraction: Share of records that the split was asked to hold out.
        sources: The input files.
        versions: Versions of the libraries that decide the result.
        splits: `train` and `eval`.
    """

    template: str
    fingerprint: Fingerprint
    vocab_size: int
    context_length: int
    truncation: Truncation
    nothing_to_learn: int
    weight_preset: str
    weight_factors: Mapping[str, float]
    weights: Mapping[str, tuple[float, ...]]
    seed: int
    eval_fraction: float
    sources: tuple[SourceInfo, ...]
    versions: Mapping[str, str]
    splits: Mapping[str, SplitInfo]
    stages: tuple[StageInfo, ...] = ()
    recipe: str = ""

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads the manifest of a dataset folder.

        Raises:
            DatasetError: It is missing, corrupt, or of another schema version.
        """
        path = folder / MANIFEST_NAME
        try:
            value: object = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise DatasetError(
                f"{folder} is no token dataset (it has no {MANIFEST_NAME}); "
                "make one with: ochat-data tokenize"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise DatasetError(f"cannot read {path}: {error}; tokenize again") from error
        if not isinstance(value, Mapping) or value.get("schema_version") != SCHEMA_VERSION:
            found = value.get("schema_version") if isinstance(value, Mapping) else None
            raise DatasetError(
                f"{path} has schema version {found}, this program reads {SCHEMA_VERSION}; "
                "tokenize again"
            )
        try:
            return cls._from_json(value)
        except (KeyError, TypeError, ValueError, FingerprintMismatchError) as error:
            raise DatasetError(f"{path} is corrupt at {error}; tokenize again") from error

    @classmethod
    def _from_json(cls, value: Mapping[str, object]) -> Manifest:
        return cls(
            template=_take(value, "template", str),
            fingerprint=Fingerprint.from_json(value["fingerprint"]),
            vocab_size=_take(value, "vocab_size", int),
            context_length=_take(value, "context_length", int),
            truncation=Truncation(**_take(value, "truncation", dict)),
            nothing_to_learn=_take(value, "nothing_to_learn", int),
            weight_preset=_take(value, "weight_preset", str),
            weight_factors=dict(_take(value, "weight_factors", dict)),
            weights={k: tuple(v) for k, v in _take(value, "weights", dict).items()},
            seed=_take(value, "seed", int),
            eval_fraction=float(_take(value, "eval_fraction", float | int)),
            sources=tuple(SourceInfo(**source) for source in _take(value, "sources", list)),
            versions=dict(_take(value, "versions", dict)),
            stages=tuple(StageInfo(**stage) for stage in _take(value, "stages", list)),
            recipe=_take(value, "recipe", str),
            splits={name: _split(_take(value, "splits", dict)[name]) for name in SPLITS},
        )

    def to_json(self) -> dict[str, object]:
        """The object that `manifest.json` holds."""
        fields = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        fields["fingerprint"] = self.fingerprint.to_json()
        return fields

    def write(self, folder: Path) -> None:
        """Writes `manifest.json` into `folder`."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what ends up in a dataset."""
    names = ("ochat-data", "ochat-templates", "numpy", "pyarrow", "sentencepiece", "tokenizers")
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"  # used from a source tree that was never installed
    return found


def _take(value: Mapping[str, object], key: str, kind: type[_T]) -> _T:
    taken = value[key]
    if not isinstance(taken, kind) or isinstance(taken, bool):
        raise TypeError(f"{key!r}: unexpected {type(taken).__name__}")
    return taken


def _split(value: Mapping[str, object]) -> SplitInfo:
    conditions = _take(value, "conditions", dict)
    return SplitInfo(
        shards=dict(_take(value, "shards", dict)),
        totals=Totals(**_take(value, "totals", dict)),
        conditions={name: Totals(**totals) for name, totals in conditions.items()},
    )
