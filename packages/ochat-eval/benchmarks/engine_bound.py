"""Wall time of a run against an engine whose speed is known, as a ratio to the engine's own bound.

    python benchmarks/engine_bound.py

The bound is what no client could beat: the work of all answers over the batch's slots, and never
less than the longest answer. Then the extrapolation to the whole suite, with its assumptions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fixed_server import answer_tokens
from scripted import fixed_server, measured, write_suite

from ochat_eval import load_suite

MOST_RATIO = 1.05
SUITE_ITEMS = 34_400
# Prompt and answer tokens of the original's families: characters of the facts' suite over 4, and
# what a chat model of 7 billion parameters writes (0106 averages about these).
MIX = (("without shots", 8_945, 200, 5), ("with reasoning", 25_455, 750, 160))
# Tokens a second of one accelerator with vLLM and a model of 7 billion parameters, to choose from.
GENERATION_RATES = (5_000, 10_000, 20_000)
PREFILL_RATE = 40_000


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=4000, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=100.0, help="tokens/s a stream (%(default)s)")
    options = parser.parse_args()
    shortest, longest = 20, 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = write_suite(folder / "suite.jsonl", options.questions)
        prompts = [question.prompt for question in load_suite(str(suite)).questions]
        lengths = [answer_tokens(prompt, shortest, longest) for prompt in prompts]
        bound = max(sum(lengths) / (options.batch * options.rate), max(lengths) / options.rate)
        engine = ["--batch", str(options.batch), "--rate", str(options.rate)]
        engine += ["--shortest", str(shortest), "--longest", str(longest)]
        with fixed_server(*engine) as url:
            command = [
                *(sys.executable, "-m", "ochat_eval", "run", "--base-url", url),
                *("--model", "fixed", "--suite", str(suite), "--output", str(folder / "run")),
            ]
            run = measured(command, url)
    ratio = run.wall / bound
    print(f"engine: batch {options.batch}, {options.rate:g} tokens/s a stream")
    print(f"{options.questions} questions, {run.tokens} tokens; client CPU {run.cpu:.2f} s")
    print(f"bound {bound:.2f} s, run with start and end {run.wall:.2f} s")
    reached = ratio <= MOST_RATIO
    print(
        f"run / bound: {ratio:.3f} (target: at most {MOST_RATIO}) {'ok' if reached else 'MISSED'}"
    )
    extrapolate(ratio)
    sys.exit(0 if reached else 1)


def extrapolate(ratio: float) -> None:
    """Prints what the suite would take at given rates: an estimate, not a measurement."""
    generated = sum(items * tokens for _, items, _, tokens in MIX)
    prefilled = sum(items * tokens * 0.1 for _, items, tokens, _ in MIX)
    print(f"\nextrapolation to the suite of {SUITE_ITEMS} items, NOT measured; assumed:")
    for kind, items, prompt, answer in MIX:
        print(f"  {items} items {kind}: {prompt} prompt tokens, {answer} tokens an answer")
    print("  nine tenths of prompt tokens come from the prefix cache")
    print(f"  prefill at {PREFILL_RATE} tokens/s, and the run's ratio to its bound as measured")
    for rate in GENERATION_RATES:
        seconds = (generated / rate + prefilled / PREFILL_RATE) * ratio
        accelerators = seconds / 300
        print(
            f"  {rate} generated tokens/s: {seconds / 60:.1f} minutes; "
            f"five minutes take {accelerators:.1f} such accelerators"
        )


if __name__ == "__main__":
    main()
