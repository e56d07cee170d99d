"""`ochat-eval judge`: let a model judge answers, or read judgements that are there.

Calls and figures are made in `ochat_eval.judging`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from ochat_eval.config import RunConfig
from ochat_eval.errors import JudgeError

if TYPE_CHECKING:
    from ochat_eval.judging.asking import Judge
    from ochat_eval.judging.calls import Call
    from ochat_eval.judging.session import Session

_EPILOG = """\
Files are those of FastChat (MT-bench's question.jsonl, judge_prompts.jsonl, answers, judgements)
and of alpaca_eval (model outputs, annotations); none of them is shipped. Without --prompts, prompts
of our own are used, whose scores are not those of MT-bench's. A folder is resumed by the same
command; no question is put to the same judge twice. --dry-run judges by a fixed rule instead of a
model: its figures say nothing about a model.

examples:
  ochat-eval judge answer --questions question.jsonl --base-url http://localhost:18888/v1 \\
      --model openchat_v3.2 --output answers.jsonl
  ochat-eval judge mt-bench --questions question.jsonl --references gpt-4.jsonl \\
      --prompts judge_prompts.jsonl --answers answers.jsonl --baseline chatgpt.jsonl \\
      --judge-url https://api.openai.com/v1 --judge gpt-4 --output judged/mt-bench
  ochat-eval judge alpaca --outputs mine.json --baseline reference.json --judge-url ... \\
      --judge gpt-4-turbo --output judged/alpaca
  ochat-eval judge scores model_judgment.jsonl --questions question.jsonl
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command and its own."""
    parser = commands.add_parser(
        "judge",
        help="let a model judge answers: MT-bench, AlpacaEval",
        description="Let a model judge answers, with both positions, costs told before, and "
        "intervals.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    _add_mt_bench(
        kinds.add_parser("mt-bench", help="two turns: single scores, or against a baseline")
    )
    _add_alpaca(kinds.add_parser("alpaca", help="pairs of outputs, both orders, length control"))
    _add_answer(kinds.add_parser("answer", help="ask a model for the answers to be judged"))
    _add_scores(kinds.add_parser("scores", help="figures of FastChat judgements that are there"))


def _add_mt_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--questions", type=Path, required=True, help="question.jsonl")
    parser.add_argument(
        "--answers", type=Path, required=True, help="the model's, in FastChat's form"
    )
    parser.add_argument("--baseline", type=Path, help="another model's answers: also judge pairs")
    parser.add_argument("--references", type=Path, help="right answers, in FastChat's form")
    parser.add_argument("--pairs-only", action="store_true", help="no single scores")
    _add_judge(parser, max_tokens=2048)
    parser.set_defaults(call=_mt_bench)


def _add_alpaca(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--outputs", type=Path, required=True, help="the model's outputs")
    parser.add_argument("--baseline", type=Path, required=True, help="the baseline's outputs")
    parser.add_argument("--no-swap", action="store_true", help="one order only: half the calls")
    parser.add_argument("--no-logprobs", action="store_true", help="do not ask for them")
    parser.add_argument("--prompt-name", default="instruction", help="of --prompts")
    _add_judge(parser, max_tokens=16)
    parser.set_defaults(call=_alpaca)


def _add_judge(parser: argparse.ArgumentParser, *, max_tokens: int) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder, new or stopped")
    parser.add_argument("--prompts", type=Path, help="in the layout of judge_prompts.jsonl")
    judge = parser.add_argument_group("judge")
    judge.add_argument("--judge-url", default=os.environ.get("OPENAI_BASE_URL"))
    judge.add_argument("--judge", help="its model name")
    judge.add_argument("--judge-key", help="default: the environment variable OPENAI_API_KEY")
    judge.add_argument("--dry-run", action="store_true", help="judge by a fixed rule, for nothing")
    judge.add_argument("--estimate", action="store_true", help="tell calls and cost, and leave")
    judge.add_argument("--max-calls", type=int, help="refuse to make more")
    judge.add_argument("--price-in", type=float, default=0.0, help="of a million prompt tokens")
    judge.add_argument("--price-out", type=float, default=0.0, help="of a million tokens out")
    judge.add_argument("--max-tokens", type=int, default=max_tokens, help=f"default: {max_tokens}")
    judge.add_argument("--concurrency", type=int, default=16, help="default: 16")
    judge.add_argument("--cache", type=Path, help="file of replies to share between folders")


def _add_answer(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--questions", type=Path, help="MT-bench's question.jsonl")
    what.add_argument("--instructions", type=Path, help='JSON list of {"instruction"}')
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL"))
    parser.add_argument("--api-key", help="default: the environment variable OPENAI_API_KEY")
    parser.add_argument("--model", required=True, help="the name served")
    parser.add_argument("--name", help="of the model in the file (default: --model)")
    parser.add_argument("--condition", default="", help="sent with every request")
    parser.add_argument("--max-tokens", type=int, default=1024, help="default: 1024")
    parser.add_argument("--temperature", type=float, default=0.0, help="default: MT-bench's, or 0")
    parser.add_argument("--concurrency", type=int, default=32, help="default: 32")
    parser.add_argument("--output", type=Path, required=True, help="file, new or partly there")
    parser.set_defaults(call=_answer)


def _add_scores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("judgements", type=Path, help="of one model, or of pairs")
    parser.add_argument("--questions", type=Path, help="question.jsonl, for the categories")
    parser.add_argument("--model", help="whose figures (default: the first in the file)")
    parser.add_argument("--export", type=Path, help="write the judgements that counted here")
    parser.set_defaults(call=_scores)


def _mt_bench(arguments: argparse.Namespace) -> int:
    from ochat_eval.judging.fastchat import read_mt_answers, read_mt_questions
    from ochat_eval.judging.mt_bench import MtBench
    from ochat_eval.judging.prompts import read_prompts
    from ochat_eval.judging.session import judge_mt_bench

    references = read_mt_answers(arguments.references) if arguments.references else {}
    bench = MtBench(
        questions=read_mt_questions(arguments.questions),
        references=references,
        prompts=read_prompts(arguments.prompts),
        max_tokens=arguments.max_tokens,
    )
    answers = read_mt_answers(arguments.answers)
    baseline = read_mt_answers(arguments.baseline) if arguments.baseline else None
    if arguments.pairs_only and not baseline:
        raise JudgeError("--pairs-only needs --baseline, the answers to judge against")
    single = not arguments.pairs_only
    calls = [each.call for each in bench.single(answers)] if single else []
    calls += [each.call for each in bench.pairwise(answers, baseline)] if baseline else []
    session = _session(arguments)
    if not _may_ask(arguments, session, calls):
        return 0
    return _write(judge_mt_bench(session, bench, answers, baseline, single=single))


def _alpaca(arguments: argparse.Namespace) -> int:
    from ochat_eval.judging.alpaca import output_pairs
    from ochat_eval.judging.prompts import read_prompts
    from ochat_eval.judging.session import PairOptions, judge_outputs
    from ochat_eval.preferences.annotations import read_rows

    prompts = read_prompts(arguments.prompts)
    if arguments.prompt_name not in prompts:
        raise JudgeError(f"no prompt {arguments.prompt_name!r}: one of {', '.join(prompts)}")
    options = PairOptions(
        prompt=prompts[arguments.prompt_name],
        both_orders=not arguments.no_swap,
        logprobs=not arguments.no_logprobs,
        max_tokens=arguments.max_tokens,
    )
    baseline, outputs = read_rows(arguments.baseline), read_rows(arguments.outputs)
    pairs = output_pairs(baseline, outputs, arguments.outputs)
    session = _session(arguments)
    if not _may_ask(arguments, session, options.calls(pairs)):
        return 0
    return _write(judge_outputs(session, pairs, options))


def _answer(arguments: argparse.Namespace) -> int:
    from ochat_eval.judging.answers import answer_instructions, answer_mt_bench
    from ochat_eval.judging.fastchat import read_mt_questions
    from ochat_eval.preferences.annotations import read_rows

    config = RunConfig(
        model=arguments.model,
        suite="",
        output=arguments.output,
        base_url=arguments.base_url or "",
        api_key=arguments.api_key or os.environ.get("OPENAI_API_KEY"),
        condition=arguments.condition,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        concurrency=max(arguments.concurrency, 1),
    )
    name = arguments.name or arguments.model
    if arguments.questions:
        asked = read_mt_questions(arguments.questions)
        missing = answer_mt_bench(config, asked, arguments.output, name, sys.stderr)
    else:
        rows = read_rows(arguments.instructions)
        if not all(isinstance(row.get("instruction"), str) for row in rows):
            raise JudgeError(f"{arguments.instructions}: every row needs a text 'instruction'")
        missing = answer_instructions(config, rows, arguments.output, name, sys.stderr)
    print(f"{arguments.output}: {missing} answers missing" if missing else str(arguments.output))
    return 3 if missing else 0


def _scores(arguments: argparse.Namespace) -> int:
    from ochat_eval.judging.fastchat import read_mt_questions, write_fastchat
    from ochat_eval.judging.mt_scores import pair_scores, single_scores
    from ochat_eval.preferences.annotations import read_json_lines

    rows = read_json_lines(arguments.judgements)
    if not rows:
        raise JudgeError(f"{arguments.judgements} holds no judgement")
    asked = read_mt_questions(arguments.questions) if arguments.questions else {}
    categories = {key: question.category for key, question in asked.items()}
    pairs = "model_1" in rows[0]
    model = arguments.model or str(rows[0].get("model_1" if pairs else "model"))
    kept = [
        row for row in rows if model in (row.get("model"), row.get("model_1"), row.get("model_2"))
    ]
    if not kept:
        raise JudgeError(f"{arguments.judgements} has no judgement of {model!r}")
    if arguments.export:
        write_fastchat(arguments.export, kept)
    told = pair_scores(kept, model, categories) if pairs else single_scores(kept, categories)
    return _write({"model": model, ("pairwise" if pairs else "single"): told})


def _session(arguments: argparse.Namespace) -> Session:
    from ochat_eval.judging.journal import Journal
    from ochat_eval.judging.session import Session

    return Session(
        judge=_judge(arguments),
        output=arguments.output,
        journal=Journal(arguments.cache or arguments.output / "replies.jsonl"),
        concurrency=max(arguments.concurrency, 1),
        progress=sys.stderr,
    )


def _judge(arguments: argparse.Namespace) -> Judge:
    from ochat_eval.judging.asking import ScriptedJudge, ServedJudge

    if arguments.dry_run:
        return ScriptedJudge()
    if not arguments.judge:
        raise JudgeError("no judge: give --judge-url and --judge, or --dry-run")
    return ServedJudge(
        RunConfig(
            model=arguments.judge,
            suite="",
            output=arguments.output,
            base_url=arguments.judge_url or "",
            api_key=arguments.judge_key or os.environ.get("OPENAI_API_KEY"),
            concurrency=max(arguments.concurrency, 1),
        )
    )


def _may_ask(arguments: argparse.Namespace, session: Session, calls: list[Call]) -> bool:
    """Tell calls and cost; False where that is all that was asked for.

    Raises:
        JudgeError: There are more calls than allowed.
    """
    found = session.estimate(calls)
    print(found.sentence(arguments.price_in, arguments.price_out), file=sys.stderr)
    if arguments.max_calls is not None and found.calls > arguments.max_calls:
        raise JudgeError(f"{found.calls} calls are more than --max-calls {arguments.max_calls}")
    return not arguments.estimate


def _write(told: dict[str, object]) -> int:
    sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
    return 0
