"""`ochat-eval run`: ask a suite and print what came out.

The work is in `ochat_eval.runner`; this holds flags, words and exit codes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ochat_eval.commands.numbers import between, share
from ochat_eval.config import RunConfig
from ochat_eval.graders import family_names
from ochat_eval.profiles import profile_names

_EPILOG = """\
suites:
  vllm-eval       the seed's benchmark suite (see `ochat-eval tasks`)
  TASK[,TASK...]  tasks by name, or by the path of a task's .toml file
  sample          the questions shipped with this package
  FILE.jsonl      one question a line: {"id", "question", "label", "options"?, "group"?, "family"?};
                  "question" is the whole prompt, "label" a text or a list of texts that all count,
                  "options" the options' texts or letters. Rows without id and family, as in the
                  original's files, are read unchanged.
  FOLDER          every *.jsonl below it

The items of tasks are read from --data: a folder laid out like the original's eval_data, or with
TASK.jsonl or TASK/*.jsonl; else from the Hugging Face hub (pip install 'ochat-eval[hf]').

backends:
  http            an OpenAI-compatible server at --base-url (the default)
  serve           starts ochat-serve with the model folder --model, and ends it
  engine          loads the model folder --model in this process: exact prompt ids, no HTTP
  replay          takes the answers of the run folder --replay

Arguments after -- go to the engine of serve and engine.

A run that was stopped is resumed by the same command. Exit codes: 0 done, 1 a problem told in one
sentence, 2 wrong usage, 3 more questions without an answer than --min-complete allows.

example:
  ochat-eval run --base-url http://localhost:18888/v1 --model openchat_v3.2 --suite vllm-eval \\
      --data eval_data --condition "GPT4" --output runs/gpt4
"""
# Answers that were cut by a limit of tokens; above this share the figures need another run.
_MOST_CUT = 0.02


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "run",
        help="ask a suite of questions of a model",
        description="Ask a suite of questions of a model, grade the answers, and leave a run "
        "folder (responses, verdicts, summary.json).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="the name served, or a model folder")
    parser.add_argument("--suite", required=True, help="what to ask; see below")
    parser.add_argument("--output", required=True, type=Path, help="the run folder, new or stopped")
    _add_source(parser.add_argument_group("where answers come from"))
    _add_questions(parser.add_argument_group("questions and grading"))
    _add_asking(parser.add_argument_group("asking"))
    parser.set_defaults(call=call)


def _add_source(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--base-url",
        default=os.environ.get("OPENAI_BASE_URL"),
        help="such as http://localhost:18888/v1 (default: OPENAI_BASE_URL)",
    )
    group.add_argument("--api-key", help="default: the environment variable OPENAI_API_KEY")
    group.add_argument(
        "--backend", choices=("http", "serve", "engine", "replay"), default="http", help="see below"
    )
    group.add_argument(
        "--engine",
        choices=("auto", "vllm", "transformers", "scripted"),
        default="auto",
        help="of serve and engine (default: auto)",
    )
    group.add_argument("--model-type", metavar="T", help="template of serve and engine")
    group.add_argument("--replay", type=Path, metavar="DIR", help="the run folder to replay")
    group.add_argument("engine_arguments", nargs="*", metavar="-- ARGUMENT", help="for the engine")


def _add_questions(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data", type=Path, metavar="DIR", help="folder with the items of tasks")
    group.add_argument(
        "--skip-missing", action="store_true", help="leave out tasks whose items are not found"
    )
    group.add_argument(
        "--limit", type=_positive, help="ask only the first N questions of each file or group"
    )
    group.add_argument(
        "--family", help=f"of rows that name none; one of {', '.join(family_names())}"
    )
    group.add_argument(
        "--allow-code",
        action="store_true",
        help="run programs of the model on this machine (humaneval); best in a container",
    )
    group.add_argument(
        "--profile",
        action="append",
        default=[],
        choices=profile_names(),
        help="also grade as an older grader did; may be repeated",
    )


def _add_asking(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--condition", default="", help="sent with every request (default: none)")
    group.add_argument("--system", default="", help="system text (default: none)")
    group.add_argument(
        "--max-tokens",
        type=_positive,
        help="of one answer (default: the task's, else the server's)",
    )
    group.add_argument(
        "--temperature", type=_temperature, default=0.0, help="default: 0, which is greedy"
    )
    group.add_argument(
        "--concurrency",
        type=_positive,
        default=256,
        help="requests in flight at most; fewer where the server is overloaded (default: 256)",
    )
    group.add_argument(
        "--timeout", type=_positive, default=600, help="seconds for one request (default: 600)"
    )
    group.add_argument(
        "--min-complete",
        type=share,
        default=0.99,
        help="share of questions that must get an answer for exit code 0 (default: 0.99)",
    )


def call(arguments: argparse.Namespace) -> int:
    """Run it; the table goes to standard output, everything else to standard error."""
    from ochat_eval.report import profile_lines, read_run, table
    from ochat_eval.runner import run_suite

    summary = run_suite(_config(arguments), progress=sys.stderr)
    line = read_run(arguments.output)
    print(table([line, *profile_lines(arguments.output, summary)]))
    for sentence in warnings(summary, arguments.output):
        print(sentence, file=sys.stderr)
    total = line.tally.n + line.tally.error
    return 3 if line.tally.n < arguments.min_complete * total else 0


def _config(arguments: argparse.Namespace) -> RunConfig:
    return RunConfig(
        model=arguments.model,
        suite=arguments.suite,
        output=arguments.output,
        base_url=arguments.base_url or "",
        backend=arguments.backend,
        engine=arguments.engine,
        model_type=arguments.model_type,
        engine_arguments=tuple(arguments.engine_arguments),
        replay=arguments.replay,
        condition=arguments.condition,
        system=arguments.system,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        concurrency=arguments.concurrency,
        limit=arguments.limit,
        family=arguments.family,
        data=arguments.data,
        allow_code=arguments.allow_code,
        skip_missing=arguments.skip_missing,
        profiles=tuple(dict.fromkeys(arguments.profile)),
        api_key=arguments.api_key or os.environ.get("OPENAI_API_KEY"),
        timeout_seconds=arguments.timeout,
    )


def warnings(summary: Mapping[str, object], output: Path) -> list[str]:
    """What a reader must know before believing the figures, a sentence each."""
    overall, problems = summary["overall"], summary["problems"]
    if not isinstance(overall, Mapping) or not isinstance(problems, Mapping):
        raise TypeError("a summary has the objects overall and problems")
    missing, graded = overall["errors"], overall["n"]
    found: list[str] = []
    if missing:
        found.append(
            f"{missing} of {missing + graded} questions got no answer and are not in the accuracy; "
            f"`verdicts.jsonl` in {output} says why"
        )
    if problems["cut_by_limit"] > _MOST_CUT * graded:
        found.append(
            f"{problems['cut_by_limit']} of {graded} answers were cut by a limit of tokens and "
            "count as not correct unless they had answered before: raise --max-tokens or the "
            "model's context"
        )
    if problems["empty"]:
        found.append(
            f"{problems['empty']} answers were empty, also when asked again: look at the server"
        )
    return found


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _temperature(text: str) -> float:
    return between(text, 0.0, 2.0)
