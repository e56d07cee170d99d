"""`ochat-data filter`: keeps the records that are wanted."""

from __future__ import annotations

import argparse

from .options import add_files, add_record_output, add_reject_options, whole

_DESCRIPTION = """\
Keeps the records that are wanted; every reason for leaving one out is counted.

Languages are told offline by py3langid (or a fastText model such as lid.176.ftz), from prose only:
code, formulas and addresses do not vote, and 'und' stands for too little prose to tell.

A predicate is a function of your own that takes a Record and returns whether to keep it:
  --predicate rules.py:keep

Benchmark files (JSON, JSON Lines, Parquet, text) name questions that no record may hold: a record
with a run of 13 words of one of them (or a whole shorter question) is left out.

example:
  ochat-data filter clean.jsonl --output wanted.jsonl --language en --max-turns 20 \\
      --benchmark mt_bench/question.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "filter",
        help="keep records by model, condition, language, size, own rule, or benchmark",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser, "record files")
    add_record_output(parser)
    for name, what in (
        ("model", "keep answers of this model only"),
        ("not-model", "leave out answers of this model"),
        ("condition", "keep this condition only"),
        ("language", "keep this language only, such as en"),
        ("not-language", "leave out this language"),
        ("benchmark", "leave out what holds a question of this file"),
    ):
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="X", help=f"{what}; may be repeated"
        )
    for name, what in (
        ("min-turns", "fewest answers"),
        ("max-turns", "most answers"),
        ("min-characters", "fewest characters of all messages"),
        ("max-characters", "most characters of all messages"),
    ):
        parser.add_argument(f"--{name}", type=whole, metavar="N", help=what)
    parser.add_argument(
        "--predicate", default="", metavar="MODULE:FUNCTION", help="a rule of your own"
    )
    parser.add_argument(
        "--fasttext-model", default="", metavar="FILE", help="tell languages by this model"
    )
    add_reject_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.decontamination import read_benchmarks
    from ochat_data.filtering import FilterOptions, RecordFilter
    from ochat_data.record import Record
    from ochat_data.record_steps import Dropped, decontaminate_step, filter_step
    from ochat_data.stages import on_records, run_stage

    options = FilterOptions(
        models=tuple(args.model),
        not_models=tuple(args.not_model),
        conditions=tuple(args.condition),
        languages=tuple(args.language),
        not_languages=tuple(args.not_language),
        min_turns=args.min_turns,
        max_turns=args.max_turns,
        min_characters=args.min_characters,
        max_characters=args.max_characters,
        predicate=args.predicate,
        fasttext_model=args.fasttext_model,
    )
    steps = [filter_step(RecordFilter(options))]
    if args.benchmark:
        steps.append(decontaminate_step(read_benchmarks(args.benchmark)))

    def step(record: Record) -> Record | Dropped:
        for each in steps:
            result = each(record)
            if isinstance(result, Dropped):
                return result
            record = result
        return record

    run_stage(
        "filter",
        args.files,
        args.output,
        on_records(step),
        max_reject_rate=args.max_reject_rate,
        rejects=args.rejects,
    )
