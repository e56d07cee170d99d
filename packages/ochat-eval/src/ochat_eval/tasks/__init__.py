"""Tasks: benchmarks as data, one TOML file each, with the places where their items are."""

from __future__ import annotations

from ochat_eval.tasks.catalogue import SUITES, find_tasks, is_task_list, shipped_tasks
from ochat_eval.tasks.sources import task_questions
from ochat_eval.tasks.spec import TaskSpec, read_task

__all__ = [
    "SUITES",
    "TaskSpec",
    "find_tasks",
    "is_task_list",
    "read_task",
    "shipped_tasks",
    "task_questions",
]
