"""Opens what is trained on: a token dataset, or the Parquet files of OpenChat's own trainers.

Both become the same thing: example sets, the template, and how to prove that the model's tokenizer
is the one that made the ids.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ochat_data import DOCUMENT_CONDITION, LegacyDataset, TokenDataset, is_legacy

from .errors import ConfigError, DataError
from .examples import ExampleSet, condition_factors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ochat_data import TokenSplit
    from ochat_templates import Codec, Fingerprint

    from .config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredData:
    """Splits as they were stored.

    Attributes:
        train: the training split, or one an epoch.
        held_out: may be empty.
        template: name of the template.
        fingerprint: of the codec that made the ids; None where the format knows none.
        vocab_size: embedding rows that the ids need.
        context_length: longest sequence that the dataset was made for; None where nobody said.
        groups: kinds of sources that a row could hold.
        digest: SHA-256 that tells this data from any other.
        truncation: what tokenizing did to long conversations, for a person.
    """

    train: Sequence[TokenSplit]
    held_out: TokenSplit
    template: str
    fingerprint: Fingerprint | None
    vocab_size: int
    context_length: int | None
    groups: int
    digest: str
    truncation: str

    @property
    def longest(self) -> int:
        """Tokens of the longest example of any split; 0 if there is none."""
        splits = (*self.train, self.held_out)
        return max((int(split.lengths.max()) for split in splits if len(split)), default=0)

    def require_codec(self, codec: Codec, what: str) -> None:
        """Refuses a tokenizer that is not the one that made the ids.

        Raises:
            ochat_templates.FingerprintMismatchError: the dataset's own fingerprint differs.
            DataError: ids of the Parquet files cannot be this tokenizer's.
        """
        if self.fingerprint is not None:
            codec.fingerprint.require_equal(self.fingerprint, what=what)
            return
        first = self.train[0].example(0).ids
        if codec.bos_id is not None and int(first[0]) != codec.bos_id:
            raise DataError(
                f"{what} opens its examples with the id {int(first[0])}, but {self.template} with "
                f"the model's tokenizer opens them with {codec.bos_id}; give the base model that "
                "the files were made for"
            )
        if self.vocab_size > codec.vocab_size:
            raise DataError(
                f"{what} holds the id {self.vocab_size - 1}, but the model's tokenizer has "
                f"{codec.vocab_size} ids; give the base model that the files were made for"
            )

    def require_end_of_turn(self, eot_id: int) -> None:
        """Refuses data from which a model could not learn to stop.

        Raises:
            DataError: no supervised token is the end of a turn.
        """
        for split in self.train:
            for index in range(min(len(split), _LOOKED_AT)):
                example = split.example(index)
                if np.any((example.ids[1:] == eot_id) & (example.weights[1:] > 0)):
                    return
        raise DataError(
            f"no example trains the end-of-turn token (id {eot_id}), so a model trained on this "
            "would never stop; check the roles and weights, and that --max-length does not cut "
            "every answer"
        )


# Most conversations end with it; a thousand without it say that none has it.
_LOOKED_AT = 1000


def open_data(path: Path, template: str = "") -> StoredData:
    """Opens a dataset's folder, a Parquet file, or the prefix of some.

    Args:
        path: where it lies.
        template: what Parquet files that do not say so were made with.

    Raises:
        ConfigError: nobody says what the template is.
        DataError: there is no training example.
        ochat_data.DataError: it is missing or damaged.
    """
    data = _legacy(LegacyDataset.open(path), template) if is_legacy(path) else _own(path)
    if not all(len(split) for split in data.train):
        raise DataError(
            f"the dataset {path} has no training examples; tokenize some conversations, "
            "or lower --eval-fraction"
        )
    return data


def _own(path: Path) -> StoredData:
    dataset = TokenDataset.open(path)
    cut = dataset.manifest.truncation
    return StoredData(
        train=[dataset.split("train")],
        held_out=dataset.split("eval"),
        template=dataset.manifest.template,
        fingerprint=dataset.fingerprint,
        vocab_size=dataset.vocab_size,
        context_length=dataset.manifest.context_length,
        groups=1,
        digest=hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest(),
        truncation=f"{cut.policy}: {cut.cut} conversations cut, {cut.split} split, {cut.dropped} "
        f"left out, {cut.lost_tokens} tokens lost",
    )


def _legacy(dataset: LegacyDataset, template: str) -> StoredData:
    name = template or dataset.model_type
    if not name:
        raise ConfigError(
            f"{dataset.train_files[0]} does not say its model type; give --model-type, such as "
            "openchat_v3.2"
        )
    train, held_out = dataset.train_splits(), dataset.eval_split()
    return StoredData(
        train=train,
        held_out=held_out,
        template=name,
        fingerprint=None,
        vocab_size=1 + max(split.largest_id for split in (*train, held_out)),
        context_length=None,
        groups=dataset.groups,
        digest=dataset.digest,
        truncation=f"unknown, of the layout of {dataset.layout}",
    )


def choose_examples(
    data: StoredData, config: TrainConfig, longest: int | None
) -> tuple[list[ExampleSet], ExampleSet | None]:
    """The training examples (one set an epoch, or one for all) and the held-out ones.

    Args:
        data: what is stored.
        config: how it is weighed and what happens to long examples.
        longest: most tokens of an example; None is any number.

    Raises:
        DataError: nothing can be learnt, or an example is too long.
    """

    def chosen(split: TokenSplit, factors: dict[str, float]) -> ExampleSet:
        return ExampleSet(
            split,
            longest=longest,
            overlong=config.overlong,
            mode=config.loss_mode,
            factors=factors,
        )

    train: list[ExampleSet] = []
    factors: dict[str, float] = {}
    for split in data.train:
        factors = condition_factors(
            split.conditions,
            config.loss_mode,
            expert=config.expert,
            documents=DOCUMENT_CONDITION,
        )
        examples = chosen(split, factors)
        if not len(examples):
            raise DataError(
                "no token of the training split has a loss weight, so there is nothing to learn; "
                "check the weights and roles of the conversations before tokenizing"
            )
        train.append(examples)
    held_out = chosen(data.held_out, factors)
    return train, held_out if len(held_out) else None
