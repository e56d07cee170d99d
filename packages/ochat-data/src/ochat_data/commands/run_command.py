"""`ochat-data run`: a whole pipeline from one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import whole

_DESCRIPTION = """\
Runs a pipeline file: from raw dumps to a token dataset, in several processes or on a cluster.
The result is the same to the last byte whatever the number of workers; a run that was interrupted,
even by kill -9, goes on where it stood when the same command is given again.

  schema = 1
  output = "dataset"             # paths are taken from the folder of this file

  [[source]]                     # once for each source
  files = ["sharegpt.json"]      # files and folders, as 'ochat-data import' reads them
  # format, columns = {question = "prompt", answer = "completion"}, model
  # condition = "GPT4", loss_weight = 0.1        for all records of the source
  # weight = 0.5                 how often each record enters, or tokens = 1000000

  [clean]                        # html, refusals, blocked_words = [...], min_characters
  [filter]                       # models, not_models, conditions, languages, not_languages,
                                 # min_turns, max_turns, min_characters, max_characters,
                                 # predicate = "rules.py:keep", fasttext_model
  [decontaminate]                # files = ["mt_bench/question.jsonl"]
  [dedup]                        # method = "exact" or "near", threshold = 0.8
  [label]                        # map = {"gpt-4" = "GPT4", "*" = "GPT3"}, weights, unmatched

  [tokenize]
  template = "openchat_v3.2"
  tokenizer = "tokenizer.model"  # max_length, truncation, weights, expert, eval_fraction, seed,
                                 # condition_weights = {GPT3 = 0.1}
  [limits]
  max_reject_rate = 0.5

A step whose table is missing is not done. Beside the dataset lie DATASET.rejects.jsonl and
DATASET.duplicates.jsonl where there is something in them.

example:
  ochat-data run pipeline.toml --workers 8
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "run",
        help="a whole pipeline from one file, resumable, on many cores or machines",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pipeline", metavar="FILE.toml", help="the pipeline file")
    parser.add_argument(
        "--workers", type=whole, metavar="N", help="processes (default: one a processor)"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work on this Ray cluster instead ('auto' for the one this machine is in); all files "
        "must lie where every machine sees them",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another dataset at the output"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.pipeline import run_pipeline
    from ochat_data.pipeline.balances import describe_stage
    from ochat_data.pipeline.executors import (
        Executor,
        HereExecutor,
        ProcessExecutor,
        RayExecutor,
        default_workers,
    )
    from ochat_data.stages import report

    workers = args.workers or default_workers()
    executor: Executor = HereExecutor() if workers == 1 else ProcessExecutor(workers)
    if args.ray:
        executor = RayExecutor(args.ray)
    try:
        result = run_pipeline(Path(args.pipeline), executor, overwrite=args.overwrite, say=report)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            "interrupted; what is finished is kept, give the same command to go on"
        ) from interrupt
    manifest = result.manifest
    for stage in manifest.stages:
        report(describe_stage(stage))
    for name, path in (("rejects", result.rejects), ("duplicates", result.duplicates)):
        if path:
            report(f"{name}: {path}")
    train, held_out = (manifest.splits[name].totals for name in ("train", "eval"))
    report(
        f"{'made' if result.fresh else 'already there'}: {train.examples} train and "
        f"{held_out.examples} eval examples, {train.tokens + held_out.tokens} tokens"
    )
