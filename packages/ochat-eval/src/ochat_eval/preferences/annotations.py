"""Files of alpaca_eval: model outputs and annotations, read and written without losing a field.

What the preferences amount to is in `winrate`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ochat_eval.errors import JudgeError
from ochat_eval.store import write_bytes

_TIES = (0, 1.5)  # a draw: of the first leaderboard, of the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """How much the second answer was preferred to the first on one instruction.

    Attributes:
        instruction: What was asked; judgements of the same one are not independent.
        value: 0 the first (the baseline's), 1 the second (the model's), 0.5 a draw.
        baseline_length: Characters of the first answer.
        length: Characters of the second answer.
        model_first: Whether the judge saw the model's answer first; None where nobody wrote it.
    """

    instruction: str
    value: float
    baseline_length: int
    length: int
    model_first: bool | None = None


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON array, or of JSON lines.

    Raises:
        JudgeError: No such file, no JSON, or no objects in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise JudgeError(f"cannot read {path}: {why}; give a JSON file") from error
    try:
        rows = json.loads(text)
    except json.JSONDecodeError:
        return read_json_lines(path)
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise JudgeError(f"{path}: expected a list of JSON objects, one an instruction")
    return rows


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of JSON lines; an empty line is none.

    Raises:
        JudgeError: A line is no JSON object; tells which.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise JudgeError(f"cannot read {path}: give a file of JSON lines in UTF-8") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise JudgeError(f"{path}, line {number}: not valid JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise JudgeError(f"{path}, line {number}: expected a JSON object")
        rows.append(row)
    return rows


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """A JSON array as alpaca_eval reads it."""
    text = json.dumps(list(rows), indent=2, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


def preferences_of(rows: Iterable[Mapping[str, Any]], path: Path) -> list[Preference]:
    """The preferences of annotations; those that the judge left open (null) are not among them.

    Raises:
        JudgeError: A row lacks a field, or its preference is none.
    """
    found: list[Preference] = []
    for number, row in enumerate(rows, start=1):
        if "preference" not in row:
            raise JudgeError(
                f"{path}, row {number}: no field 'preference'; give annotations, not outputs"
            )
        value = _value(row["preference"], path, number)
        if value is not None:
            texts = [row.get(name) for name in ("output_1", "output_2")]
            lengths = [len(text) if isinstance(text, str) else 0 for text in texts]
            first = row.get("model_first")
            found.append(
                Preference(
                    instruction=str(row.get("instruction", number)),
                    value=value,
                    baseline_length=lengths[0],
                    length=lengths[1],
                    model_first=first if isinstance(first, bool) else None,
                )
            )
    if not found:
        raise JudgeError(f"{path} holds no preference: give annotations of at least one pair")
    return found


def _value(preference: object, path: Path, number: int) -> float | None:
    if preference is None:
        return None
    if isinstance(preference, str):
        try:
            preference = float(preference)
        except ValueError:
            preference = -1
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        preference = -1
    if math.isnan(preference):
        return None
    if preference in _TIES:
        return 0.5
    if not 1 <= preference <= 2:
        raise JudgeError(
            f"{path}, row {number}: the preference is none; expected 1 (first) to 2 (second), "
            "with 0 or 1.5 for a draw"
        )
    return float(preference) - 1.0
