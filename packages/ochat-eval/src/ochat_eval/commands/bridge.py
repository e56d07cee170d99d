"""`ochat-eval bridge`: lm-evaluation-harness's tasks and samples, to and fro.

The work is in `ochat_eval.bridge`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

_DESCRIPTION = """\
Run lm-evaluation-harness's tasks against a server and grade what came by our rules too (run), read
its sample files into a run folder (import), or write our questions or a run for it (export).
"""
_EPILOG = """\
example:
  ochat-eval bridge run --tasks gsm8k_cot --base-url http://localhost:18888/v1 --model m \\
      --python lm-eval-env/bin/python --output runs/harness
  ochat-eval bridge import runs/samples_gsm8k_cot_2026-01-01.jsonl --output runs/imported
  ochat-eval bridge export sample --output tasks-for-lm-eval
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "bridge",
        help="lm-evaluation-harness: run its tasks, import its samples, export ours",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_run(verbs.add_parser("run", help="run lm-eval's tasks against a server"))
    importing = verbs.add_parser("import", help="lm-eval's samples as a run folder")
    importing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="samples_*.jsonl")
    importing.add_argument("--output", required=True, type=Path, help="the run folder to make")
    importing.add_argument("--family", help="grading rules (default: by the task's name)")
    importing.add_argument("--model", default="lm-eval", help="what to call the model")
    importing.set_defaults(call=_import)
    exporting = verbs.add_parser("export", help="a suite or a run of ours for lm-eval")
    exporting.add_argument("what", help="a run folder, or a suite as of `ochat-eval run`")
    exporting.add_argument("--output", required=True, type=Path, help="the folder to make")
    exporting.add_argument("--data", type=Path, help="folder with the items of tasks")
    exporting.add_argument("--limit", type=int, help="only the first N of each file or group")
    exporting.set_defaults(call=_export)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", required=True, help="lm-eval's names, joined by commas")
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL"), required=False)
    parser.add_argument("--model", required=True, help="the name under which it is served")
    parser.add_argument("--output", required=True, type=Path, help="the run folder to make")
    parser.add_argument("--api-key", help="default: the environment variable OPENAI_API_KEY")
    parser.add_argument("--python", type=Path, help="interpreter that has lm-eval (default: this)")
    parser.add_argument("--include-path", type=Path, help="folder of further tasks")
    parser.add_argument("--limit", type=int, help="only the first N items of each task")
    parser.add_argument("--concurrency", type=int, default=64, help="default: 64")
    parser.add_argument("--family", help="our grading rules (default: by the task's name)")
    parser.add_argument("further", nargs="*", metavar="-- ARGUMENT", help="for lm-eval itself")
    parser.set_defaults(call=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ochat_eval.bridge.running import HarnessRun, run_harness

    raw = arguments.output.with_name(arguments.output.name + ".lm-eval")
    run = HarnessRun(
        tasks=arguments.tasks,
        base_url=arguments.base_url or "",
        model=arguments.model,
        output=raw,
        python=arguments.python,
        include=arguments.include_path,
        limit=arguments.limit,
        concurrency=arguments.concurrency,
        api_key=arguments.api_key or os.environ.get("OPENAI_API_KEY"),
        further=tuple(arguments.further),
    )
    arguments.files = run_harness(run)
    return _import(arguments)


def _import(arguments: argparse.Namespace) -> int:
    from ochat_eval.bridge.samples import import_samples
    from ochat_eval.report import read_run, table

    found = import_samples(
        arguments.files, arguments.output, family=arguments.family, model=arguments.model
    )
    print(table([read_run(arguments.output)]))
    for name, score in found.scores.items():
        print(f"lm-eval's own score ({name}): {score:.1%}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from ochat_eval.bridge import export_run, export_suite
    from ochat_eval.suite import SuiteOptions, load_suite

    if (Path(arguments.what) / "run.json").is_file():
        for file in export_run(Path(arguments.what), arguments.output):
            print(file)
        return 0
    options = SuiteOptions(limit=arguments.limit, data=arguments.data)
    suite = load_suite(arguments.what, options=options)
    names = export_suite(suite.questions, arguments.output)
    print(f"--include_path {arguments.output} --tasks {','.join(names)}")
    return 0
