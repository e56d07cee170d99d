"""Runs lm-eval's own tasks against an OpenAI-compatible server, as a command of its environment.

lm-eval does the asking and the scoring; reading what it leaves is in `samples`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ochat_eval.config import api_root
from ochat_eval.errors import EvalError


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessRun:
    """What to run.

    Attributes:
        tasks: lm-eval's names, joined by commas.
        base_url: Of the server.
        model: The name under which it is served.
        output: Where lm-eval writes.
        python: The interpreter of the environment that has lm-eval; None is this one.
        include: A folder of further tasks.
        limit: Only the first so many items of each task.
        concurrency: Requests in flight.
        api_key: For the server.
        further: Arguments passed on as they are.
    """

    tasks: str
    base_url: str
    model: str
    output: Path
    python: Path | None = None
    include: Path | None = None
    limit: int | None = None
    concurrency: int = 64
    api_key: str | None = field(default=None, repr=False)
    further: tuple[str, ...] = ()


def run_harness(run: HarnessRun) -> list[Path]:
    """Run it and return the sample files that it wrote.

    Raises:
        EvalError: lm-eval is not there, failed, or wrote no samples.
    """
    if run.python is None and find_spec("lm_eval") is None:
        raise EvalError(
            "lm-eval is not installed here: pip install 'ochat-eval[lm-eval]', or name the "
            "interpreter of an environment that has it by --python"
        )
    before = set(run.output.rglob("samples_*.jsonl"))
    # lm-eval takes the key from the environment and refuses to start without one.
    environment = os.environ | {"OPENAI_API_KEY": run.api_key or "none"}
    done = subprocess.run(_command(run), env=environment, check=False)  # noqa: S603 - as told
    if done.returncode:
        raise EvalError(f"lm-eval ended with {done.returncode}: its last lines say why")
    written = sorted(set(run.output.rglob("samples_*.jsonl")) - before)
    if not written:
        raise EvalError(f"lm-eval wrote no samples below {run.output}: look at its output")
    return written


def _command(run: HarnessRun) -> Sequence[str]:
    root = api_root(run.base_url)
    arguments = {
        "model": run.model,
        "base_url": f"{root}/chat/completions",
        "num_concurrent": run.concurrency,
        "max_retries": 3,
    }
    command = [
        *(str(run.python or sys.executable), "-m", "lm_eval", "run"),
        *("--model", "local-chat-completions"),
        *("--model_args", ",".join(f"{name}={value}" for name, value in arguments.items())),
        *("--tasks", run.tasks, "--apply_chat_template", "--log_samples"),
        *("--output_path", str(run.output)),
    ]
    if run.include:
        command += ["--include_path", str(run.include)]
    if run.limit:
        command += ["--limit", str(run.limit)]
    return [*command, *run.further]
