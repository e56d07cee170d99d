"""`ochat-eval run`: ask a suite of a server and print what came out.

The work is in `ochat_eval.runner`; this holds flags, words and exit codes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ochat_eval.config import RunConfig
from ochat_eval.graders import family_names

_EPILOG = """\
suites:
  sample          the questions shipped with this package
  FILE.jsonl      one question a line: {"id", "question", "label", "options"?, "group"?, "family"?};
                  "question" is the whole prompt, "label" a text or a list of texts that all count,
                  "options" the options' texts or letters. Rows without id and family, as in the
                  original's files, are read unchanged.
  FOLDER          every *.jsonl below it

The family of a row is its own "family", else --family, else guessed from the names of the file
and of the two folders above it (agieval, bbh_mc_orca, truthfulqa_orca, mmlu, gsm8k, gpqa).

A run that was stopped is resumed by the same command. Exit codes: 0 done, 1 a problem told in one
sentence, 2 wrong usage, 3 more questions without an answer than --min-complete allows.

example:
  ochat-eval run --base-url http://localhost:18888/v1 --model openchat_v3.2 --suite sample \\
      --condition "GPT4" --output runs/gpt4
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "run",
        help="ask a suite of questions of a server",
        description="Ask a suite of questions of an OpenAI-compatible server, grade the answers, "
        "and leave a run folder (responses, verdicts, summary.json).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--base-url", required=True, help="such as http://localhost:18888/v1")
    parser.add_argument("--model", required=True, help="the name under which it is served")
    parser.add_argument("--suite", required=True, help="sample, a JSONL file, or a folder of them")
    parser.add_argument("--output", required=True, type=Path, help="the run folder, new or stopped")
    parser.add_argument("--condition", default="", help="sent with every request (default: none)")
    parser.add_argument("--api-key", help="default: the environment variable OPENAI_API_KEY")
    parser.add_argument(
        "--max-tokens", type=_positive, help="of one answer (default: what the server allows)"
    )
    parser.add_argument(
        "--temperature", type=_temperature, default=0.0, help="default: 0, which is greedy"
    )
    parser.add_argument(
        "--concurrency", type=_positive, default=64, help="requests in flight (default: 64)"
    )
    parser.add_argument(
        "--limit", type=_positive, help="ask only the first N questions of each file"
    )
    parser.add_argument(
        "--family", help=f"of rows that name none; one of {', '.join(family_names())}"
    )
    parser.add_argument(
        "--timeout", type=_positive, default=600, help="seconds for one request (default: 600)"
    )
    parser.add_argument(
        "--min-complete",
        type=_share,
        default=0.99,
        help="share of questions that must get an answer for exit code 0 (default: 0.99)",
    )
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Run it; the table goes to standard output, everything else to standard error."""
    from ochat_eval.report import read_run, table
    from ochat_eval.runner import run_suite

    config = RunConfig(
        base_url=arguments.base_url,
        model=arguments.model,
        suite=arguments.suite,
        output=arguments.output,
        condition=arguments.condition,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        concurrency=arguments.concurrency,
        limit=arguments.limit,
        family=arguments.family,
        api_key=arguments.api_key or os.environ.get("OPENAI_API_KEY"),
        timeout_seconds=arguments.timeout,
    )
    run_suite(config, progress=sys.stderr)
    line = read_run(arguments.output)
    print(table([line]))
    missing = line.tally.error
    total = line.tally.n + missing
    if missing:
        print(
            f"{missing} of {total} questions got no answer and are not in the accuracy; "
            f"`verdicts.jsonl` in {arguments.output} says why",
            file=sys.stderr,
        )
    return 3 if line.tally.n < arguments.min_complete * total else 0


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _temperature(text: str) -> float:
    return _between(text, 0.0, 2.0)


def _share(text: str) -> float:
    return _between(text, 0.0, 1.0)


def _between(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
    return value
