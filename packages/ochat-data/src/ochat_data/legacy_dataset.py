"""Opens the Parquet files of OpenChat's own trainers as splits that can be trained on as they are.

How their columns are read is `legacy_parquet`'s business; making a token dataset of them, which
keeps a fingerprint, is `legacy_conversion`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from .dataset import TokenSplit
from .errors import DatasetError
from .example_table import ExampleRows
from .legacy_parquet import legacy_metadata, read_legacy
from .reading import file_digest

_ROWS_A_TABLE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyDataset:
    """Files of one layout that belong together.

    Attributes:
        train_files: One for all epochs (`PREFIX.train.parquet`), or one an epoch
            (`PREFIX.0.parquet`, ...), as 2024's generator wrote them.
        eval_file: `PREFIX.eval.parquet`; None where there is none.
        layout: `2023` or `2024`.
        model_type: The template's name or alias, as the file says it; empty where it does not.
        groups: Kinds of sources that the weights tell apart; 1 where the layout knows none.
        digest: SHA-256 over all files.
    """

    train_files: tuple[Path, ...]
    eval_file: Path | None
    layout: str
    model_type: str
    groups: int
    digest: str

    @classmethod
    def open(cls, path: str | Path) -> LegacyDataset:
        """Finds the files behind a prefix, or behind one of the files themselves.

        Raises:
            DatasetError: There are none.
            InputError: One is of neither layout.
        """
        train, held_out = _find(Path(path))
        metadata = legacy_metadata(train[0])
        digest = hashlib.sha256()
        for file in (*train, *([held_out] if held_out else [])):
            digest.update(file_digest(str(file)).encode())
        return cls(
            train_files=train,
            eval_file=held_out,
            layout=str(metadata["layout"]),
            model_type=str(metadata.get("model_type") or ""),
            groups=int(metadata.get("num_groups") or 1),
            digest=digest.hexdigest(),
        )

    def train_splits(self) -> list[TokenSplit]:
        """The training split of each epoch that has a file of its own.

        Raises:
            InputError: A row is broken; the text names file and row.
        """
        return [_read(file, "train") for file in self.train_files]

    def eval_split(self) -> TokenSplit:
        """The held-out split; empty where there is no file; errors as `train_splits`."""
        return TokenSplit([]) if self.eval_file is None else _read(self.eval_file, "eval")


def is_legacy(path: str | Path) -> bool:
    """Whether a path is a Parquet file or the prefix of some, not a dataset's folder."""
    path = Path(path)
    if path.is_dir():
        return False
    return path.suffix == ".parquet" or any(
        path.with_name(f"{path.name}.{word}.parquet").is_file() for word in ("train", "0")
    )


def _find(path: Path) -> tuple[tuple[Path, ...], Path | None]:
    name = path.name
    for ending in (".train.parquet", ".0.parquet", ".eval.parquet"):
        name = name.removesuffix(ending)
    prefix = path.with_name(name)
    whole = prefix.with_name(f"{prefix.name}.train.parquet")
    held_out = prefix.with_name(f"{prefix.name}.eval.parquet")
    found = held_out if held_out.is_file() else None
    if whole.is_file():
        return (whole,), found
    epochs: list[Path] = []
    while (file := prefix.with_name(f"{prefix.name}.{len(epochs)}.parquet")).is_file():
        epochs.append(file)
    if epochs:
        return tuple(epochs), found
    if path.is_file():
        return (path,), None
    if path.suffix == ".parquet":
        raise DatasetError(f"{path} does not exist; check the path")
    raise DatasetError(
        f"no training data at {path}: expected a token dataset's folder, or one of "
        f"{whole.name} and {prefix.name}.0.parquet"
    )


def _read(path: Path, split: str) -> TokenSplit:
    tables = []
    rows = ExampleRows()
    for example in read_legacy(path, split):
        rows.add(example.id, example.encoded, example.condition, example.source)
        if len(rows) == _ROWS_A_TABLE:
            tables.append(rows.to_table())
            rows = ExampleRows()
    tables.append(rows.to_table())
    return TokenSplit(tables)
