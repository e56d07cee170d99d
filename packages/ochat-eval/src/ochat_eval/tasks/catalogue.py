"""Which tasks and suites there are: the shipped ones by name, a user's by its TOML file."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path

from ochat_eval.errors import TaskError
from ochat_eval.tasks.spec import TaskSpec, read_task

# The seed's suite, with what its later version added.
SUITES = {
    "vllm-eval": (
        "agieval",
        "bbh_mc",
        "truthfulqa",
        "bbh_cot",
        "gsm8k",
        "mmlu",
        "math",
        "gpqa",
        "humaneval",
    ),
}


def shipped_tasks() -> dict[str, Path]:
    """The TOML file of every shipped task, by name."""
    folder = Path(str(files("ochat_eval") / "tasks" / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def is_task_list(name: str) -> bool:
    """Whether a suite's name stands for tasks and not for files of questions."""
    shipped = shipped_tasks()
    return all(
        part in SUITES or part in shipped or part.endswith(".toml") for part in name.split(",")
    )


def find_tasks(name: str) -> list[TaskSpec]:
    """The tasks of a suite, of a task's name, of a TOML file, or of several joined by commas.

    Raises:
        TaskError: One of them is unknown.
    """
    shipped = shipped_tasks()
    tasks: dict[str, TaskSpec] = {}
    for part in name.split(","):
        paths = (
            [shipped[task] for task in SUITES[part]] if part in SUITES else [_path(part, shipped)]
        )
        for path in paths:
            task = read_task(path)
            if task.id in tasks:
                raise TaskError(f"the task {task.id!r} is named twice in {name!r}: name it once")
            tasks[task.id] = task
    return list(tasks.values())


def _path(name: str, shipped: dict[str, Path]) -> Path:
    if name in shipped:
        return shipped[name]
    if name.endswith(".toml"):
        return Path(name)
    near = difflib.get_close_matches(name, [*shipped, *SUITES], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise TaskError(
        f"there is no task or suite {name!r}{hint}: use one of {', '.join([*SUITES, *shipped])}, "
        "or the path of a .toml file"
    )
