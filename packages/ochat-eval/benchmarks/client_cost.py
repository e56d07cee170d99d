"""CPU time of the client: ours and lm-evaluation-harness's on the same questions, in one run.

    python benchmarks/client_cost.py --lm-eval-python ENV/bin/python

Both ask an instant server in a process of its own, take turns, and report what they took. Without
--lm-eval-python only our side is measured, and no ratio is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from scripted import Measured, fixed_server, measured, write_suite

SUITE_ITEMS = 34_400  # of the original's suite
MOST_MS_A_QUESTION, MOST_SECONDS_500, MOST_SECONDS_FIRST, MOST_SECONDS_SUITE = 0.3, 1.0, 0.5, 10.0


def ours(url: str, suite: Path, output: Path) -> Measured:
    """`ochat-eval run` as a user types it."""
    command = [
        *(sys.executable, "-m", "ochat_eval", "run", "--base-url", url, "--model", "fixed"),
        *("--suite", str(suite), "--output", str(output)),
    ]
    return measured(command, url)


def theirs(python: str, url: str, tasks: Path, name: str) -> Measured:
    """The same questions through lm-eval's command, with its log of samples."""
    arguments = f"model=fixed,base_url={url}/v1/chat/completions,num_concurrent=64"
    command = [
        *(python, "-m", "lm_eval", "run", "--model", "local-chat-completions"),
        *("--model_args", arguments, "--include_path", str(tasks), "--tasks", name),
        *("--apply_chat_template", "--log_samples", "--output_path", str(tasks / "out")),
    ]
    return measured(command, url, HF_HUB_OFFLINE="1", OPENAI_API_KEY="none")


def best(runs: list[Measured]) -> Measured:
    """The run with the least CPU time."""
    return min(runs, key=lambda run: run.cpu)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lm-eval-python", help="interpreter of an environment that has lm-eval")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--items", type=int, default=SUITE_ITEMS, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, fixed_server() as url:
        folder = Path(name)
        suite = write_suite(folder / "small.jsonl", 500, groups=1)
        tasks = folder / "tasks"
        command = [sys.executable, "-m", "ochat_eval", "bridge", "export"]
        subprocess.run(  # noqa: S603 - our own command
            [*command, str(suite), "--output", str(tasks)], check=True, stdout=subprocess.DEVNULL
        )
        our_runs: list[Measured] = []
        their_runs: list[Measured] = []
        for number in range(options.rounds):
            our_runs.append(ours(url, suite, folder / f"run{number}"))
            if options.lm_eval_python:
                their_runs.append(theirs(options.lm_eval_python, url, tasks, "ochat_group0"))
        small = best(our_runs)
        whole = write_suite(folder / "whole.jsonl", options.items, characters=2200, groups=100)
        large = ours(url, whole, folder / "whole")
    sys.exit(0 if report(small, large, options.items, their_runs) else 1)


def report(small: Measured, large: Measured, items: int, their_runs: list[Measured]) -> bool:
    """Prints every figure with its target; returns whether all are reached."""
    marginal = (large.cpu - small.cpu) / (items - 500) * 1000
    first = small.first_request
    targets = [
        (f"500 questions, CPU with start: {small.cpu:.2f} s", small.cpu, MOST_SECONDS_500),
        (f"start to first request: {first:.2f} s", first, MOST_SECONDS_FIRST),
        (f"{items} questions, CPU: {large.cpu:.2f} s", large.cpu, MOST_SECONDS_SUITE),
        (f"each further question, CPU: {marginal:.3f} ms", marginal, MOST_MS_A_QUESTION),
    ]
    for text, value, limit in targets:
        print(f"{text} (target: at most {limit}) {'ok' if value <= limit else 'MISSED'}")
    print(
        f"{items} questions, wall: {large.wall:.1f} s ({items / large.wall:.0f} questions a second)"
    )
    if their_runs:
        them = best(their_runs)
        print(f"lm-eval, the same 500 questions, CPU with start: {them.cpu:.2f} s")
        print(f"lm-eval / ochat-eval: {them.cpu / small.cpu:.1f}")
    return all(value <= limit for _, value, limit in targets)


if __name__ == "__main__":
    main()
