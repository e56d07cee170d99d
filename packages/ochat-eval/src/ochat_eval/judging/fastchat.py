"""Files of FastChat's MT-bench: questions, answers, judgements, read and written unchanged.

What the judgements amount to is in `mt_scores`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ochat_eval.errors import JudgeError
from ochat_eval.preferences.annotations import read_json_lines
from ochat_eval.store import write_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MtQuestion:
    """A question of two turns; `reference` are right answers from the question's own row."""

    id: int | str
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MtAnswer:
    """A model's answers to the turns of one question; `row` is the whole of what the file had."""

    id: int | str
    model: str
    turns: tuple[str, ...]
    row: Mapping[str, Any] = field(default_factory=dict)


def read_mt_questions(path: Path) -> dict[int | str, MtQuestion]:
    """Questions by id.

    Raises:
        JudgeError: A row is no question.
    """
    found: dict[int | str, MtQuestion] = {}
    for number, row in enumerate(read_json_lines(path), start=1):
        turns = _texts(row.get("turns"))
        if "question_id" not in row or not turns:
            raise JudgeError(f"{path}, row {number}: a question needs 'question_id' and 'turns'")
        found[row["question_id"]] = MtQuestion(
            id=row["question_id"],
            category=str(row.get("category", "")),
            turns=turns,
            reference=_texts(row.get("reference")),
        )
    if not found:
        raise JudgeError(f"{path} holds no question")
    return found


def read_mt_answers(path: Path) -> dict[int | str, MtAnswer]:
    """Answers by question id: of each the first choice.

    Raises:
        JudgeError: A row is no answer, or there are answers of several models.
    """
    found: dict[int | str, MtAnswer] = {}
    for number, row in enumerate(read_json_lines(path), start=1):
        choices = row.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        turns = _texts(first.get("turns")) if isinstance(first, dict) else ()
        if not turns or not {"question_id", "model_id"} <= row.keys():
            raise JudgeError(
                f"{path}, row {number}: an answer needs 'question_id', 'model_id' and "
                "'choices' with 'turns'"
            )
        answer = MtAnswer(id=row["question_id"], model=str(row["model_id"]), turns=turns, row=row)
        found[answer.id] = answer
    models = sorted({answer.model for answer in found.values()})
    if len(models) != 1:
        raise JudgeError(f"{path} has answers of {models or 'no model'}: give one model's file")
    return found


def write_fastchat(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """JSON lines in the bytes that FastChat itself writes."""
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts; nothing else gives any."""
    if not isinstance(value, list):
        return ()
    texts = [each for each in value if isinstance(each, str)]
    return tuple(texts) if len(texts) == len(value) else ()
