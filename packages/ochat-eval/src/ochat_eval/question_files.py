"""Files of questions: JSONL of our layout, or of the original's unchanged, line by line.

What a row means is in `question`; which files make a suite in `suite`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from ochat_eval.errors import QuestionError
from ochat_eval.question import Question

# Folder names of the original's suite; `bbh` alone is its chain-of-thought form.
_FAMILY_OF_FOLDER = {
    "agieval": "agieval",
    "bbh": "bbh_cot",
    "bbh_mc_orca": "bbh_zs",
    "gpqa": "gpqa",
    "gsm8k": "gsm8k",
    "humaneval": "humaneval",
    "math": "math",
    "mmlu": "mmlu",
    "truthfulqa": "truthfulqa",
    "truthfulqa_orca": "truthfulqa",
}


def guess_family(file: Path) -> str | None:
    """The family that a file of the original's suite belongs to, by its name and two folders."""
    names = (file.name.split(".")[0], file.parent.name, file.parent.parent.name)
    return next((_FAMILY_OF_FOLDER[name] for name in names if name in _FAMILY_OF_FOLDER), None)


def read_questions(
    file: Path,
    *,
    family: str | None = None,
    below: str = "",
    defaults: Mapping[str, object] | None = None,
) -> Iterator[Question]:
    """The questions of one JSONL file, line by line.

    Rows without an id get `<file name>:<line>`; rows without a group get the file's name; both with
    `below` (the folder within a suite) in front.
    The family is the row's, else `family`, else the one guessed from the original's folder names.

    Args:
        file: The JSONL file.
        family: Of rows that name none.
        below: Put before ids and groups that are made here.
        defaults: Values of further fields that a row lacks.

    Raises:
        QuestionError: The file cannot be read or a line is corrupt; names file, line and remedy.
    """
    stem, fallback = below + file.name.split(".")[0], family or guess_family(file.absolute())
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise QuestionError(f"cannot read {file}: {error.strerror}; check the path") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            if defaults and isinstance(row, dict):
                row = {**defaults, **row}
            yield Question.from_json(
                row, default_id=f"{stem}:{number}", default_group=stem, default_family=fallback
            )
        except orjson.JSONDecodeError as error:
            raise QuestionError(
                f"{file}, line {number}: not valid JSON ({error}); correct or delete the line"
            ) from error
        except QuestionError as error:
            raise QuestionError(f"{file}, line {number}: {error}; correct the line") from error
