"""Suites: questions that are asked together, from tasks or from files of questions.

What a single question means is in `question`, a task in `tasks`, asking in `runner`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import orjson

from ochat_eval.errors import CodeNotAllowedError, FamilyError, GradingError, QuestionError
from ochat_eval.graders import require_family
from ochat_eval.graders.families import CODE_FAMILIES
from ochat_eval.question import Question
from ochat_eval.question_files import read_questions
from ochat_eval.tasks import TaskSpec, find_tasks, is_task_list, task_questions


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """How a suite is read.

    Attributes:
        family: The grading family of every row of a file that names none itself.
        limit: Keep only the first so many questions of each file or group.
        data: The folder that has the items of tasks.
        allow_code: Whether programs of the model may run; without, code tasks are left out.
        skip_missing: Leave out tasks whose items are not found, instead of an error.
    """

    family: str | None = None
    limit: int | None = None
    data: Path | None = None
    allow_code: bool = False
    skip_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Questions that are asked together.

    Attributes:
        name: What the user called it: `sample`, a suite, tasks, or a path.
        questions: In the order of the files.
        digest: SHA-256 over every field of every question.
        tasks: The tasks that they come from; none where they come from files of questions.
        left_out: A sentence for every task that was left out.
    """

    name: str
    questions: tuple[Question, ...]
    digest: str
    tasks: tuple[TaskSpec, ...] = ()
    left_out: tuple[str, ...] = ()


def sample_questions() -> Path:
    """The questions shipped with this package, which `--suite sample` asks."""
    return Path(str(files("ochat_eval") / "sample" / "questions.jsonl"))


def load_suite(
    name: str,
    *,
    family: str | None = None,
    limit: int | None = None,
    options: SuiteOptions | None = None,
) -> Suite:
    """Read a suite.

    Args:
        name: `sample`, a suite or task (several joined by commas), a task's TOML file, a JSONL
            file, or a folder that is searched for `*.jsonl`.
        family: As in `options`, for short.
        limit: As in `options`, for short.
        options: How to read it.

    Raises:
        QuestionError: Nothing there, a corrupt line, a repeated id, or a row that cannot be graded.
        FamilyError: A family that this version does not grade.
    """
    chosen = options or SuiteOptions(family=family, limit=limit)
    path = Path(name)
    if not path.exists() and name != "sample" and is_task_list(name):
        return _of_tasks(name, find_tasks(name), chosen)
    if path.suffix == ".toml":
        return _of_tasks(name, find_tasks(name), chosen)
    if name == "sample" and not path.exists():
        path = sample_questions()
    questions: list[Question] = []
    for file in _files(path, name):
        questions += _read(file, path, chosen)
    return _suite(name, questions)


def eval_data_suite(data: Path, sets: Sequence[str], *, allow_code: bool) -> Suite:
    """The original's data folder, or those of its files whose path begins with one of `sets`.

    Raises:
        QuestionError: There is no such folder, or nothing in it begins so.
    """
    files = [
        file
        for file in _files(data, str(data))
        if not sets or file.relative_to(data).as_posix().startswith(tuple(sets))
    ]
    if not files:
        raise QuestionError(f"no file of {data} begins with {' or '.join(sets)}: correct the sets")
    questions: list[Question] = []
    for file in files:
        questions += _read(file, data, SuiteOptions(allow_code=allow_code))
    if any(question.family in CODE_FAMILIES for question in questions) and not allow_code:
        raise CodeNotAllowedError(
            "the data has programming tasks, whose grading runs code that the model wrote: allow "
            "it with --allow-code, best in a container, or leave them out of the sets"
        )
    return _suite(str(data), questions)


def _of_tasks(name: str, tasks: Sequence[TaskSpec], options: SuiteOptions) -> Suite:
    questions: list[Question] = []
    asked: list[TaskSpec] = []
    left_out: list[str] = []
    for task in tasks:
        if task.runs_code and not options.allow_code:
            if len(tasks) == 1:
                raise CodeNotAllowedError(
                    f"grading {task.id} runs code that the model wrote on this machine: allow it "
                    "with --allow-code, best in a container"
                )
            left_out.append(f"{task.id}: grading it runs the model's code; allow by --allow-code")
            continue
        try:
            found = list(task_questions(task, data=options.data, limit=options.limit))
        except QuestionError as error:
            if not options.skip_missing:
                raise
            left_out.append(f"{task.id}: {error}")
            continue
        for question in found:
            _require_gradable(question, task.id)
        questions += found
        asked.append(task)
    return _suite(name, questions, tasks=tuple(asked), left_out=tuple(left_out))


def _suite(
    name: str,
    questions: list[Question],
    *,
    tasks: tuple[TaskSpec, ...] = (),
    left_out: tuple[str, ...] = (),
) -> Suite:
    if not questions:
        raise QuestionError(f"{name} holds no questions: give a suite with at least one line")
    _require_unique(questions)
    digest = suite_digest(questions)
    return Suite(
        name=name, questions=tuple(questions), digest=digest, tasks=tasks, left_out=left_out
    )


def _require_unique(questions: Iterable[Question]) -> None:
    seen: dict[str, str] = {}
    for question in questions:
        if question.id in seen:
            raise QuestionError(
                f"the id {question.id!r} is in {seen[question.id]} and again in {question.group}: "
                "ids must be unique within a suite"
            )
        seen[question.id] = question.group


def suite_digest(questions: Iterable[Question]) -> str:
    """SHA-256 over the questions in order."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(orjson.dumps(question.to_json(), option=orjson.OPT_SORT_KEYS) + b"\n")
    return digest.hexdigest()


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
            f"there is no suite {name!r}: give 'sample', a suite or task (see `ochat-eval tasks`), "
            "a JSONL file or a folder of JSONL files"
        )
    return [path]


def _read(file: Path, root: Path, options: SuiteOptions) -> Iterator[Question]:
    """The questions of one file of a suite, each proved gradable."""
    folder = file.relative_to(root).parent.as_posix() if root.is_dir() else "."
    below = "" if folder == "." else f"{folder}/"
    for count, question in enumerate(read_questions(file, family=options.family, below=below)):
        if count == options.limit:
            return
        _require_gradable(question, str(file))
        yield question


def _require_gradable(question: Question, place: str) -> None:
    try:
        require_family(question.family)
        question.require_gradable()
    except FamilyError as error:
        raise FamilyError(f"{place}: {error}") from error
    except GradingError as error:
        raise QuestionError(f"{place}, question {question.id}: {error}") from error
