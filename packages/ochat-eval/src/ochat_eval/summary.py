"""From the responses of a run folder to verdicts and a summary, without asking anything again.

Both files are pure functions of `run.json`, `questions.jsonl` and `responses.jsonl`: a run that was
stopped and resumed ends with the same bytes as one that was not. Asking is `runner`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ochat_eval.errors import RunFolderError
from ochat_eval.question import Question
from ochat_eval.store import Response, RunFolder, write_json, write_lines
from ochat_eval.tally import Tally
from ochat_eval.verdict import Status, Verdict, failed


def verdict_of(question: Question, response: Response) -> Verdict:
    """The verdict on a stored response."""
    if response.text is None:
        return failed(response.error or "no answer")
    return question.grade(response.text, finish_reason=response.finish_reason)


def rescore(path: Path, *, known: Mapping[str, Verdict] | None = None) -> dict[str, object]:
    """Grade the responses of a run folder and write `verdicts.jsonl` and `summary.json`.

    Args:
        path: The run folder; an unfinished run gives a summary that says so.
        known: Verdicts by key that were computed a moment ago from the same responses.

    Returns:
        The summary.

    Raises:
        RunFolderError: The folder is missing or corrupt, or no question has been answered yet.
    """
    folder = RunFolder.open(path)
    questions, responses = folder.questions(), folder.responses()
    verdicts = {
        question.key: (known or {}).get(question.key)
        or verdict_of(question, responses[question.key])
        for question in questions
        if question.key in responses
    }
    if not verdicts:
        raise RunFolderError(f"{path} holds no responses yet: run the evaluation first")
    asked = [question for question in questions if question.key in verdicts]
    summary = _summary(folder.manifest, questions, asked, verdicts)
    try:
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
    questions: list[Question],
    asked: list[Question],
    verdicts: Mapping[str, Verdict],
) -> dict[str, object]:
    overall = Tally.of(verdicts[question.key].status for question in asked)
    groups: dict[str, list[Status]] = {}
    for question in asked:
        groups.setdefault(question.group, []).append(verdicts[question.key].status)
    return {
        "schema_version": manifest["schema_version"],
        "config": manifest.get("config"),
        "suite": manifest.get("suite"),
        "questions": len(questions),
        "complete": overall.n == len(questions),
        "overall": overall.to_json(),
        "groups": {group: Tally.of(statuses).to_json() for group, statuses in groups.items()},
    }
