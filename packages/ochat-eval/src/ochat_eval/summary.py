"""From the responses of a run folder to verdicts and a summary, without asking anything again.

Both files are pure functions of `run.json`, `questions.jsonl` and `responses.jsonl`: a run that was
stopped and resumed ends with the same bytes as one that was not. Asking is `runner`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ochat_eval.errors import RunFolderError
from ochat_eval.grading import verdicts_of
from ochat_eval.profiles import profile_verdict
from ochat_eval.question import Question
from ochat_eval.store import Response, RunFolder, write_json, write_lines
from ochat_eval.tally import Tally, mean_accuracy, mean_accuracy_interval
from ochat_eval.verdict import Status, Verdict, failed

Verdicts = Mapping[str, Verdict]


def rescore(
    path: Path,
    *,
    known: Verdicts | None = None,
    questions: Sequence[Question] | None = None,
    responses: Mapping[str, Response] | None = None,
    allow_code: bool = False,
    profiles: Sequence[str] = (),
) -> dict[str, object]:
    """Grade the responses of a run folder and write `verdicts.jsonl` and `summary.json`.

    Args:
        path: The run folder; an unfinished run gives a summary that says so.
        known: Verdicts by key that were computed a moment ago from the same responses.
        questions: The folder's, where they are at hand; None reads them.
        responses: The folder's by key, where they are at hand; None reads them.
        allow_code: Whether programs of the model may run on this machine.
        profiles: Older graders whose verdicts are written beside ours.

    Returns:
        The summary.

    Raises:
        RunFolderError: The folder is missing or corrupt, or no question has been answered yet.
    """
    folder = RunFolder.open(path)
    questions = folder.questions() if questions is None else questions
    responses = folder.responses() if responses is None else responses
    verdicts = verdicts_of(questions, responses, known=known or {}, allow_code=allow_code)
    asked = [question for question in questions if question.key in verdicts]
    if not asked:
        raise RunFolderError(f"{path} holds no responses yet: run the evaluation first")
    summary = _summary(folder.manifest, questions, asked, verdicts)
    summary["problems"] = _problems(asked, responses, verdicts)
    try:
        if profiles:
            summary["profiles"] = {
                name: _profile(path, name, asked, responses, allow_code=allow_code)
                for name in profiles
            }
        write_lines(path / "verdicts.jsonl", (_row(each, verdicts[each.key]) for each in asked))
        write_json(path / "summary.json", summary)
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {path}: {error.strerror}; check its rights"
        ) from error
    return summary


def _row(question: Question, verdict: Verdict) -> dict[str, object]:
    named = {"id": question.id, "key": question.key, "group": question.group}
    return named | verdict.to_json() | {"label": list(question.labels)}


def _summary(
    manifest: Mapping[str, object],
    questions: Sequence[Question],
    asked: Sequence[Question],
    verdicts: Verdicts,
) -> dict[str, object]:
    overall = Tally.of(verdicts[question.key].status for question in asked)
    versions = manifest.get("tasks")
    return {
        "schema_version": manifest["schema_version"],
        "config": manifest.get("config"),
        "suite": manifest.get("suite"),
        "questions": len(questions),
        "complete": overall.n == len(questions),
        "overall": overall.to_json(),
        "tasks": _tasks(asked, verdicts, versions if isinstance(versions, Mapping) else {}),
        "groups": {name: tally.to_json() for name, tally in _tallies(asked, verdicts).items()},
    }


def _tallies(asked: Iterable[Question], verdicts: Verdicts) -> dict[str, Tally]:
    """The tally of every group, in the order of the questions."""
    groups: dict[str, list[Status]] = {}
    for question in asked:
        groups.setdefault(question.group, []).append(verdicts[question.key].status)
    return {group: Tally.of(statuses) for group, statuses in groups.items()}


def _tasks(
    asked: Iterable[Question], verdicts: Verdicts, versions: Mapping[str, object]
) -> dict[str, object]:
    """Every task: over its questions (micro), and as the mean of its groups (macro)."""
    tasks: dict[str, list[Question]] = {}
    for question in asked:
        if question.task:
            tasks.setdefault(question.task, []).append(question)
    told: dict[str, object] = {}
    for name, questions in tasks.items():
        groups = _tallies(questions, verdicts)
        total = Tally.of(verdicts[question.key].status for question in questions)
        version = versions.get(name)
        told[name] = (
            total.to_json()
            | {
                "macro_accuracy": mean_accuracy(groups.values()),
                "macro_interval": list(mean_accuracy_interval(groups.values())),
                "groups": len(groups),
            }
            | (dict(version) if isinstance(version, Mapping) else {})
        )
    return told


def _problems(
    asked: Iterable[Question], responses: Mapping[str, Response], verdicts: Verdicts
) -> dict[str, int]:
    """What a reader must know before believing the figures."""
    listed = list(asked)
    found = [responses[question.key] for question in listed]
    undecided = [verdicts[question.key].rule.endswith("-undecided") for question in listed]
    return {
        "empty": sum(response.text == "" for response in found),
        "cut_by_limit": sum(response.finish_reason == "length" for response in found),
        "limit_left_out": sum(response.fitted for response in found),
        "undecided_mathematics": sum(undecided),
    }


def _profile(
    path: Path,
    name: str,
    asked: Iterable[Question],
    responses: Mapping[str, Response],
    *,
    allow_code: bool,
) -> dict[str, object]:
    """An older grader's figures; its verdicts go to a file of their own."""
    graded: list[Question] = []
    verdicts: dict[str, Verdict] = {}
    for question in asked:
        response = responses[question.key]
        verdict: Verdict | None = failed(response.error or "no answer")
        if response.text is not None:
            verdict = profile_verdict(
                name, question.family, response.text, question.reference(), allow_code=allow_code
            )
        if verdict is not None:
            graded.append(question)
            verdicts[question.key] = verdict
    write_lines(path / f"verdicts.{name}.jsonl", (_row(q, verdicts[q.key]) for q in graded))
    tallies = _tallies(graded, verdicts)
    unmatched = sum(verdict.rule.endswith("-unmatched") for verdict in verdicts.values())
    return {
        "overall": Tally.of(verdict.status for verdict in verdicts.values()).to_json(),
        "unmatched": unmatched,
        "tasks": _tasks(graded, verdicts, {}),
        "groups": {group: tally.to_json() for group, tally in tallies.items()},
    }
