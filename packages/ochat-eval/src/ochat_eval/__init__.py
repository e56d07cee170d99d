"""Benchmarks for chat models: tasks, graders, a runner, and tables with intervals.

Importing this loads no HTTP client: `run_suite` and `RunConfig` bring theirs when first used.
Serving a model is `ochat-serve`'s business; any OpenAI-compatible server will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ochat_eval.config import Retry, RunConfig
from ochat_eval.errors import (
    CodeNotAllowedError,
    EvalError,
    FamilyError,
    GradingError,
    QuestionError,
    RunFolderError,
    ServerError,
    TaskError,
    UnreachableError,
)
from ochat_eval.graders import family_names, grade, grade_choice, grade_number
from ochat_eval.question import Question
from ochat_eval.question_files import read_questions
from ochat_eval.suite import Suite, SuiteOptions, load_suite, sample_questions
from ochat_eval.summary import rescore
from ochat_eval.tally import Tally, wilson_interval
from ochat_eval.tasks import TaskSpec, find_tasks
from ochat_eval.verdict import Status, Verdict

if TYPE_CHECKING:
    from ochat_eval.runner import run_suite

__all__ = [
    "CodeNotAllowedError",
    "EvalError",
    "FamilyError",
    "GradingError",
    "Question",
    "QuestionError",
    "Retry",
    "RunConfig",
    "RunFolderError",
    "ServerError",
    "Status",
    "Suite",
    "SuiteOptions",
    "Tally",
    "TaskError",
    "TaskSpec",
    "UnreachableError",
    "Verdict",
    "family_names",
    "find_tasks",
    "grade",
    "grade_choice",
    "grade_number",
    "load_suite",
    "read_questions",
    "rescore",
    "run_suite",
    "sample_questions",
    "wilson_interval",
]


def __getattr__(name: str) -> object:
    """Import the runner, and with it aiohttp, when it is first asked for."""
    if name == "run_suite":
        from ochat_eval.runner import run_suite

        return run_suite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
