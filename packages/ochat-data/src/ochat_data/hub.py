"""Rows of Hugging Face datasets, from the hub or from a folder that `save_to_disk` made.

hf://owner/name           all splits
hf://owner/name#train     one split
hf:///path/to/folder      a saved dataset
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import InputError

PREFIX = "hf://"


def is_hub_address(file: str) -> bool:
    """Whether a file's name means a dataset of this kind."""
    return file.startswith(PREFIX)


def saved_dataset(folder: Path) -> str:
    """The address of a folder that `save_to_disk` made; empty for any other."""
    one = (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    made = one or (folder / "dataset_dict.json").is_file()
    return f"{PREFIX}{folder.absolute()}" if made else ""


def saved_files(address: str) -> list[Path]:
    """The files of a saved dataset, sorted; none where it lies on the hub."""
    folder = Path(address.removeprefix(PREFIX).partition("#")[0])
    if not is_hub_address(address) or not folder.is_absolute():
        return []
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hub_rows(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields split and row of a dataset, streamed.

    Raises:
        InputError: The package datasets is missing, or there is no such dataset or split.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{address} needs: pip install 'ochat-data[hf]'") from error
    loaded: Any
    name, _, split = address.removeprefix(PREFIX).partition("#")
    try:
        if name.startswith(("/", ".")):
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name, streaming=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot open {address}: {error}") from error
    named = isinstance(loaded, dict)
    splits: dict[str, Any] = {str(key): loaded[key] for key in loaded} if named else {"": loaded}
    if split and split not in splits:
        raise InputError(f"{address} has the splits {', '.join(splits)}, not {split!r}")
    for each, rows in splits.items():
        if split and each != split:
            continue
        try:
            for row in rows:
                yield str(each), dict(row)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{address} ended early: {error}; try again") from error
