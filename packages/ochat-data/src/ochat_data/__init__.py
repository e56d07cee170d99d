"""From raw chat dumps to pre-tokenized training sets, and from those to packed batches.

    from ochat_data import TokenDataset, plan_batches

    train = TokenDataset.open("dataset").split("train")
    plan = plan_batches(train.lengths, capacity=8192, world_size=2, seed=0, epoch=0)
    batch = [train.example(i) for i in plan.batch(0, 0)]

Importing this package loads neither numpy nor pyarrow; the names that need them are loaded when
they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import (
    DataError,
    DatasetError,
    InputError,
    LabelError,
    OutputError,
    PackingError,
    RecordError,
    RejectRateError,
)

if TYPE_CHECKING:
    from .dataset import Example, TokenDataset, TokenSplit
    from .examples import TokenizeOptions
    from .legacy_dataset import LegacyDataset, is_legacy
    from .manifest import DOCUMENT_CONDITION, Manifest, SourceInfo, SplitInfo, Totals, Truncation
    from .pack_statistics import PackStatistics, pack_statistics
    from .packing import PackPlan, plan_batches
    from .record import Record
    from .sample_set import sample_files
    from .tokenizing import TokenDatasetBuilder, write_token_dataset

__all__ = [
    "DOCUMENT_CONDITION",
    "DataError",
    "DatasetError",
    "Example",
    "InputError",
    "LabelError",
    "LegacyDataset",
    "Manifest",
    "OutputError",
    "PackPlan",
    "PackStatistics",
    "PackingError",
    "Record",
    "RecordError",
    "RejectRateError",
    "SourceInfo",
    "SplitInfo",
    "TokenDataset",
    "TokenDatasetBuilder",
    "TokenSplit",
    "TokenizeOptions",
    "Totals",
    "Truncation",
    "is_legacy",
    "pack_statistics",
    "plan_batches",
    "sample_files",
    "write_token_dataset",
]

_HOMES = {
    "DOCUMENT_CONDITION": "manifest",
    "Example": "dataset",
    "LegacyDataset": "legacy_dataset",
    "Manifest": "manifest",
    "PackPlan": "packing",
    "PackStatistics": "pack_statistics",
    "Record": "record",
    "SourceInfo": "manifest",
    "SplitInfo": "manifest",
    "TokenDataset": "dataset",
    "TokenDatasetBuilder": "tokenizing",
    "TokenSplit": "dataset",
    "TokenizeOptions": "examples",
    "Totals": "manifest",
    "Truncation": "manifest",
    "is_legacy": "legacy_dataset",
    "pack_statistics": "pack_statistics",
    "plan_batches": "packing",
    "sample_files": "sample_set",
    "write_token_dataset": "tokenizing",
}


def __getattr__(name: str) -> object:
    """Loads a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_HOMES[name]}", __name__)
    # All names of the module at once: one of them is the module's own, whose import has just put
    # the module in the function's place.
    globals().update(
        {each: getattr(module, each) for each in _HOMES if _HOMES[each] == _HOMES[name]}
    )
    value: object = globals()[name]
    return value
