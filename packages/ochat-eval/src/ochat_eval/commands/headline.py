"""`ochat-eval headline`: everything behind the seed's table for one model, in one command.

It runs the other commands one after another; what they do is theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ochat_eval.config import RunConfig

_EPILOG = """\
Asks the suite, the two-turn questions and, of these, the first turns as instructions, all under
--condition and, as the baseline, under --baseline-condition; judges both; writes page.html with
every answer of the suite; prints the table. Without --judge, a fixed rule judges, and
the table says so. --model without --base-url is a model folder, which is served and ended.

example:
  ochat-eval headline --model .demo/training/model --condition GPT4 --baseline-condition GPT3 \\
      --output headline
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "headline",
        help="a model through suite, judge and report, to the seed's table",
        description="Take one model through suite, judge and report, and print the table.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="the name served, or a model folder")
    parser.add_argument("--output", type=Path, required=True, help="folder, new or stopped")
    parser.add_argument("--base-url", help="of a server that is there")
    parser.add_argument("--engine", default="auto", help="of a model folder's server")
    parser.add_argument("--condition", default="GPT4", help="default: GPT4")
    parser.add_argument("--baseline-condition", default="GPT3", help="default: GPT3")
    parser.add_argument("--suite", default="sample", help="default: sample")
    parser.add_argument("--questions", type=Path, help="two turns (default: eight of our own)")
    parser.add_argument("--max-tokens", type=int, default=128, help="default: 128")
    parser.add_argument("--judge-url", default="", help="default: a fixed rule judges")
    parser.add_argument("--judge", help="the judge's model name")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Run the commands, against the server given or one of our own."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.base_url:
        return _walk(arguments, arguments.base_url, arguments.model)
    return asyncio.run(_served(arguments))


async def _served(arguments: argparse.Namespace) -> int:
    """The walk while a server of our own runs."""
    from ochat_eval.backends.spawned import SpawnedBackend

    config = RunConfig(
        model=arguments.model,
        suite="",
        output=arguments.output,
        backend="serve",
        engine=arguments.engine,
    )
    async with SpawnedBackend(config) as server:
        before = os.environ.get("OPENAI_API_KEY")
        os.environ["OPENAI_API_KEY"] = server.key
        try:
            return await asyncio.to_thread(_walk, arguments, server.address, server.served)
        finally:
            os.environ.pop("OPENAI_API_KEY")
            if before is not None:
                os.environ["OPENAI_API_KEY"] = before


def _walk(arguments: argparse.Namespace, url: str, model: str) -> int:
    """Each command in its turn; the first that fails ends it."""
    from ochat_eval.judging.fastchat import read_mt_questions
    from ochat_eval.suite import sample_questions

    out = arguments.output
    questions = arguments.questions or sample_questions().with_name("mt_questions.jsonl")
    instructions = out / "instructions.json"
    first = [{"instruction": q.turns[0]} for q in read_mt_questions(questions).values()]
    instructions.write_text(json.dumps(first, indent=2), encoding="utf-8")
    source = ["--base-url", url, "--model", model]
    name = f"{model} ({arguments.condition})"
    steps: list[list[object]] = [
        ["run", *source, "--suite", arguments.suite, "--condition", arguments.condition,
         "--output", out / "run"],
        ["report", out / "run", "--html", out / "page.html"],
    ]  # fmt: skip
    for who, condition in (("model", arguments.condition), ("base", arguments.baseline_condition)):
        more = [*source, "--condition", condition, "--name", f"{model} ({condition})",
                "--max-tokens", arguments.max_tokens]  # fmt: skip
        steps += [
            ["judge", "answer", "--questions", questions, *more, "--output", out / f"{who}.jsonl"],
            ["judge", "answer", "--instructions", instructions, *more,
             "--output", out / f"{who}.json"],
        ]  # fmt: skip
    by = ["--dry-run"]
    if arguments.judge:
        by = ["--judge-url", arguments.judge_url or url, "--judge", arguments.judge]
    steps += [
        ["judge", "mt-bench", "--questions", questions, "--answers", out / "model.jsonl",
         "--baseline", out / "base.jsonl", *by, "--output", out / "mt-bench"],
        ["judge", "alpaca", "--outputs", out / "model.json", "--baseline", out / "base.json",
         *by, "--output", out / "alpaca"],
    ]  # fmt: skip
    for step in steps:
        code = _step(step)
        if code:
            return code
    print(f"\n{name} against {arguments.baseline_condition}:\n")
    return _step(["leaderboard", out / "run", out / "mt-bench", out / "alpaca", "--intervals"])


def _step(words: Sequence[object]) -> int:
    """One command, told before it runs."""
    from ochat_eval.__main__ import main

    texts = [str(word) for word in words]
    print(f"$ ochat-eval {' '.join(texts)}", file=sys.stderr)
    return main(texts)
