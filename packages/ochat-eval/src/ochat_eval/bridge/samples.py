"""lm-eval's sample files as a run folder of ours, graded by our rules beside its own score.

A sample file has one row for each item and filter: the document, the prompt as sent, the response
as it came, and what each metric gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ochat_eval.errors import EvalError, FamilyError, QuestionError
from ochat_eval.question import Question
from ochat_eval.store import SCHEMA_VERSION, Response, RunFolder
from ochat_eval.suite import suite_digest
from ochat_eval.summary import rescore
from ochat_eval.tasks.sources import read_rows

# Beginnings of lm-eval's task names whose answers have the form of a family of ours.
_FAMILIES = (
    ("gsm8k", "gsm8k"),
    ("mmlu", "mmlu"),
    ("bbh", "bbh_cot"),
    ("gpqa", "gpqa"),
    ("hendrycks_math", "math"),
    ("minerva_math", "math"),
    ("agieval", "agieval"),
    ("truthfulqa", "truthfulqa"),
)
_NAME = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\d.*\.jsonl")
_METRICS = ("exact_match", "acc", "math_verify")
_CHOICE_FIELDS = ("choices", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRun:
    """What was read: the run folder's summary, and for each filter lm-eval's own mean score."""

    summary: Mapping[str, object]
    scores: Mapping[str, float]


def import_samples(
    files: Sequence[Path], output: Path, *, family: str | None = None, model: str = "lm-eval"
) -> ImportedRun:
    """Make a run folder of sample files.

    Args:
        files: lm-eval's `samples_<task>_<time>.jsonl`.
        output: The run folder to make.
        family: The grading rules of every item; None takes them from each task's name.
        model: What to call the model.

    Raises:
        EvalError: A file is no sample file, its family is unknown, or the folder is not empty.
    """
    questions: dict[str, Question] = {}
    responses: dict[str, Response] = {}
    scores: dict[str, list[float]] = {}
    for file in files:
        task = _task(file)
        for row in read_rows(file):
            question, response = _read(row, task, family, file)
            question.require_gradable()
            questions.setdefault(question.key, question)
            responses.setdefault(question.key, response)
            for metric in _METRICS:
                score = row.get(metric)
                if isinstance(score, int | float):
                    name = f"{task}, {row.get('filter', 'none')}, {metric}"
                    scores.setdefault(name, []).append(float(score))
    if not questions:
        raise QuestionError("the sample files hold no items: give files with at least one line")
    _write(output, list(questions.values()), responses.values(), model)
    means = {name: sum(found) / len(found) for name, found in scores.items()}
    return ImportedRun(summary=rescore(output), scores=means)


def _write(
    output: Path, questions: list[Question], responses: Iterable[Response], model: str
) -> None:
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "config": {"model": model, "condition": "", "backend": "lm-eval"},
        "suite": {"name": "lm-eval samples", "digest": suite_digest(questions)},
    }
    folder = RunFolder.prepare(output, manifest, questions)
    if folder.responses():
        raise EvalError(f"{output} has responses already: give another --output")
    with folder:
        for response in responses:
            folder.append(response)


def _task(file: Path) -> str:
    match = _NAME.fullmatch(file.name)
    return match["task"] if match else file.stem.removeprefix("samples_")


def _family(task: str) -> str:
    for beginning, family in _FAMILIES:
        if task.startswith(beginning):
            return family
    raise FamilyError(
        f"which rules grade lm-eval's task {task!r} is not known: give --family (text, choice, "
        "number, math or another)"
    )


def _read(
    row: Mapping[str, Any], task: str, family: str | None, file: Path
) -> tuple[Question, Response]:
    try:
        document, arguments = row["doc"], row["arguments"]
        response = row["resps"][0][0]
        sent = arguments["gen_args_0"]["arg_0"] if isinstance(arguments, dict) else arguments[0][0]
    except (KeyError, IndexError, TypeError) as error:
        raise QuestionError(
            f"{file} is no file of samples of a generating task (there is no {error}): give "
            "lm-eval's samples_*.jsonl, written with --log_samples"
        ) from error
    # The documents of our own export name their family.
    rules = family or document.get("family") or _family(task)
    question = Question(
        id=f"{task}:{row.get('doc_id')}",
        group=task,
        family=rules,
        prompt=_prompt(sent),
        labels=(_label(str(row.get("target", "")), rules),),
        options=_options(document),
    )
    # lm-eval keeps neither finish reason nor errors: an empty response may have been either.
    return question, Response(key=question.key, id=question.id, text=str(response))


def _prompt(sent: object) -> str:
    """The prompt as text: lm-eval keeps a chat as the JSON of its messages."""
    messages: object = sent
    if isinstance(sent, str):
        try:
            messages = orjson.loads(sent)
        except orjson.JSONDecodeError:
            return sent
    if isinstance(messages, list) and all(isinstance(each, dict) for each in messages):
        if len(messages) == 1:
            return str(messages[0].get("content"))
        return "\n\n".join(f"{each.get('role')}: {each.get('content')}" for each in messages)
    return str(sent)


def _label(target: str, family: str) -> str:
    """The answer of a target that may be a whole solution."""
    return target.rpartition("####")[2].strip() if family == "gsm8k" else target.strip()


def _options(document: Mapping[str, Any]) -> tuple[str, ...]:
    for name in _CHOICE_FIELDS:
        found = document.get(name)
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return tuple(found)
    return ()
