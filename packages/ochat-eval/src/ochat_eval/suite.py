"""Suites of questions: the shipped sample, a JSONL file, or a folder of JSONL files.

Reads our layout and the original's; what a question means is in `question`, asking it in `runner`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import orjson

from ochat_eval.errors import FamilyError, GradingError, QuestionError
from ochat_eval.graders import require_family
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Questions that are asked together.

    Attributes:
        name: What the user called it: `sample`, or the path.
        questions: In the order of the files, so that prompts with the same beginning stay together.
        digest: SHA-256 over every field of every question.
    """

    name: str
    questions: tuple[Question, ...]
    digest: str


def sample_questions() -> Path:
    """The questions shipped with this package, which `--suite sample` asks."""
    return Path(str(files("ochat_eval") / "sample" / "questions.jsonl"))


def load_suite(name: str, *, family: str | None = None, limit: int | None = None) -> Suite:
    """Read a suite.

    Args:
        name: `sample`, a JSONL file, or a folder that is searched for `*.jsonl`.
        family: The grading family of every row that names none itself.
        limit: Keep only the first so many questions of each file.

    Raises:
        QuestionError: Nothing there, a corrupt line, a repeated id, or a row that cannot be graded.
        FamilyError: A family that this version does not grade.
    """
    path = Path(name)
    if name == "sample" and not path.exists():
        path = sample_questions()
    questions: list[Question] = []
    seen: dict[str, Path] = {}
    for file in _files(path, name):
        for question in _read(file, path, family, limit):
            if question.id in seen:
                raise QuestionError(
                    f"the id {question.id!r} is in {seen[question.id]} and again in {file}: "
                    "ids must be unique within a suite"
                )
            seen[question.id] = file
            questions.append(question)
    if not questions:
        raise QuestionError(f"{name} holds no questions: give a suite with at least one line")
    return Suite(name=name, questions=tuple(questions), digest=suite_digest(questions))


def suite_digest(questions: list[Question]) -> str:
    """SHA-256 over the questions in order."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(orjson.dumps(question.to_json(), option=orjson.OPT_SORT_KEYS) + b"\n")
    return digest.hexdigest()


def guess_family(file: Path) -> str | None:
    """The family that a file of the original's suite belongs to, by its name and two folders."""
    names = (file.name.split(".")[0], file.parent.name, file.parent.parent.name)
    return next((_FAMILY_OF_FOLDER[name] for name in names if name in _FAMILY_OF_FOLDER), None)


def read_questions(file: Path, *, family: str | None = None, below: str = "") -> Iterator[Question]:
    """The questions of one JSONL file, line by line.

    Rows without an id get `<file name>:<line>`; rows without a group get the file's name; both with
    `below` (the folder within a suite) in front.
    The family is the row's, else `family`, else the one guessed from the original's folder names.

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
            yield Question.from_json(
                row, default_id=f"{stem}:{number}", default_group=stem, default_family=fallback
            )
        except orjson.JSONDecodeError as error:
            raise QuestionError(
                f"{file}, line {number}: not valid JSON ({error}); correct or delete the line"
            ) from error
        except QuestionError as error:
            raise QuestionError(f"{file}, line {number}: {error}; correct the line") from error


def _files(path: Path, name: str) -> list[Path]:
    if path.is_dir():
        found = sorted(path.rglob("*.jsonl"))
        if not found:
            raise QuestionError(
                f"{name} holds no *.jsonl files: give a folder that does, or a file"
            )
        return found
    if not path.is_file():
        raise QuestionError(
            f"there is no suite {name!r}: give 'sample', a JSONL file or a folder of JSONL files"
        )
    return [path]


def _read(file: Path, root: Path, family: str | None, limit: int | None) -> Iterator[Question]:
    """The questions of one file of a suite, each proved gradable."""
    folder = file.relative_to(root).parent.as_posix() if root.is_dir() else "."
    below = "" if folder == "." else f"{folder}/"
    for count, question in enumerate(read_questions(file, family=family, below=below)):
        if count == limit:
            return
        _require_gradable(question, file)
        yield question


def _require_gradable(question: Question, file: Path) -> None:
    try:
        require_family(question.family)
        question.grade("")
    except FamilyError as error:
        raise FamilyError(f"{file}: {error}") from error
    except GradingError as error:
        raise QuestionError(f"{file}, question {question.id}: {error}") from error
