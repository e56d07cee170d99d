"""`ochat-eval tasks`: which tasks and suites there are, and where their items come from.

What a task is belongs to `ochat_eval.tasks`.
"""

from __future__ import annotations

import argparse
import sys

import orjson

from ochat_eval.table import lines_of
from ochat_eval.tasks import SUITES, TaskSpec, find_tasks, read_task, shipped_tasks

_EPILOG = """\
A task of your own is a TOML file: give its path to `ochat-eval run --suite`. `--show` prints a
shipped one to begin with.

example:
  ochat-eval tasks
  ochat-eval tasks --show gsm8k > mine.toml
  ochat-eval tasks mine.toml
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "tasks",
        help="show the tasks and suites",
        description="Show tasks: the shipped ones, or those of a suite or a TOML file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", nargs="?", help="a suite, tasks, or a .toml file (default: all)")
    parser.add_argument("--show", metavar="TASK", help="print a shipped task's file")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the list, or one file."""
    if arguments.show:
        [task] = find_tasks(arguments.show)[:1]
        sys.stdout.write(task.origin.read_text(encoding="utf-8"))
        return 0
    tasks = (
        find_tasks(arguments.suite)
        if arguments.suite
        else [read_task(path) for path in shipped_tasks().values()]
    )
    if arguments.json:
        sys.stdout.buffer.writelines(orjson.dumps(_told(task)) + b"\n" for task in tasks)
        sys.stdout.buffer.flush()
        return 0
    header = ("task", "version", "hash", "family", "items", "original's folder", "data set")
    print("\n".join(lines_of([header, *map(_cells, tasks)])))
    for name, members in SUITES.items():
        print(f"\nsuite {name}: {', '.join(members)}")
    return 0


def _cells(task: TaskSpec) -> tuple[str, ...]:
    return (
        task.id,
        str(task.version),
        task.digest[:12],
        task.family,
        str(task.items or "-"),
        task.original or "-",
        (task.hub.dataset if task.hub else "-") + (" (gated)" if task.gated else ""),
    )


def _told(task: TaskSpec) -> dict[str, object]:
    return {
        "id": task.id,
        "version": task.version,
        "digest": task.digest,
        "title": task.title,
        "family": task.family,
        "items": task.items,
        "licence": task.licence,
        "home": task.home,
        "gated": task.gated,
        "original": task.original,
        "dataset": task.hub.dataset if task.hub else None,
        "max_tokens": task.max_tokens,
    }
