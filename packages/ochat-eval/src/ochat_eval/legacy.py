"""The command line that OpenChat published for its evaluation, on today's runner.

    python -m ochat.evaluation.run_eval --model FOLDER --condition "GPT4 Correct" --eval-sets ...

Old flags are mapped; one whose meaning is gone is answered with a line saying what replaced it. The
results are written where they were, in the old layout, from a run folder beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ochat_eval.config import BackendName, RunConfig
from ochat_eval.errors import EvalError, QuestionError
from ochat_eval.legacy_results import write_results

_DATA = "ochat/evaluation/eval_data"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the published command; exit codes as `ochat-eval run`."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except EvalError as error:
        say(f"ochat-eval: {error}")
        return 1
    except KeyboardInterrupt:
        say("ochat-eval: interrupted; the same command resumes")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ochat.evaluation.run_eval",
        description="OpenChat's published evaluation command; the newer one is: ochat-eval run.",
        epilog="A model folder is loaded in this process; any other name is asked of the server at "
        "OPENAI_BASE_URL. example: python -m ochat.evaluation.run_eval --model ./my-model "
        '--condition "GPT4 Correct" --eval-sets zs/agieval fs_cothub/bbh',
        allow_abbrev=False,
    )
    both = parser.add_argument
    both("--model", "--model_path", required=True, help="a model folder, or a name served")
    both("--condition", default="", help="condition of the prompts (default: the template's)")
    both("--system-msg", default="", help="system text (default: none)")
    both("--model-type", "--model_type", help="template (default: what the folder says)")
    both("--data-path", "--data_path", type=Path, default=Path(_DATA), help=f"default: {_DATA}")
    both("--eval-sets", "--eval_sets", nargs="+", default=[], help="such as zs/agieval")
    both("--continue-from", "--continue_from", type=Path, help="gone: a run resumes by itself")
    both("--output-file", "--output_file", type=Path, help="default: eval_results beside the data")
    both("--parallel", type=int, default=256, help="requests in flight at most (default: 256)")
    both("--tensor-parallel-size", type=int, default=1, help="GPUs of vLLM (default: 1)")
    both("--conversation_templates", nargs="+", default=[], help="gone: see --condition")
    both("--allow-code", action="store_true", help="run programs of the model (coding/humaneval)")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from ochat_eval.runner import run_suite
    from ochat_eval.suite import eval_data_suite

    for flag, value, replacement in (
        ("--continue-from", arguments.continue_from, "the same command resumes by itself"),
        ("--conversation_templates", arguments.conversation_templates, "use --condition"),
    ):
        if value:
            say(f"{flag}: {replacement}.")
    model, output = arguments.model, arguments.output_file
    if output is None:
        name = f"{os.path.basename(model.rstrip('/'))}_{arguments.condition}.json"  # noqa: PTH119
        output = arguments.data_path.parent / "eval_results" / name
    local = Path(model).is_dir()
    backend: BackendName = "engine" if local else "http"
    base_url = os.environ.get("OPENAI_BASE_URL", "")
    if not local and not base_url:
        raise QuestionError(
            f"{model!r} is no model folder: give one, or set OPENAI_BASE_URL to the server that "
            "serves it"
        )
    suite = eval_data_suite(
        arguments.data_path, arguments.eval_sets, allow_code=arguments.allow_code
    )
    size = arguments.tensor_parallel_size
    config = RunConfig(
        model=model,
        suite=str(arguments.data_path),
        output=output.with_suffix(".run"),
        backend=backend,
        base_url=base_url,
        model_type=arguments.model_type if local else None,
        engine_arguments=("--tensor-parallel-size", str(size)) if size > 1 else (),
        condition=arguments.condition,
        system=arguments.system_msg,
        concurrency=arguments.parallel,
        allow_code=arguments.allow_code,
        profiles=("original-2024",),
        api_key=os.environ.get("OPENAI_API_KEY"),
    )
    run_suite(config, suite=suite, progress=sys.stderr)
    write_results(config.output, output)
    say(f"results in {output}; run folder {config.output} (see: ochat-eval report)")
    return 0


def say(text: str) -> None:
    """A message for the person at the terminal."""
    sys.stderr.write(f"{text}\n")
