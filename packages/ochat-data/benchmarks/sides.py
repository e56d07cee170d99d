"""CPU time of two sides in one run, verdicts, and texts to measure on."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

from ochat_templates.testing import train_sentencepiece

MANUAL = "\n".join(topics.values())


def parser(description: str, *, rounds: int = 5) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--tokenizer",
        type=Path,
        help="a SentencePiece .model (default: a small one, trained on Python's own manual)",
    )
    made.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    return made


def tokenizer_file(given: Path | None, folder: Path) -> Path:
    """The given file, or one of 4,000 pieces trained on Python's manual."""
    if given:
        return given
    return train_sentencepiece(topics.values(), folder / "tokenizer.model", vocab_size=4000)


def passage(rng: random.Random, characters: int) -> str:
    """A cut of Python's manual: English, code and indentation."""
    length = rng.randint(characters // 2, characters * 3 // 2)
    start = rng.randrange(len(MANUAL) - length)
    return MANUAL[start : start + length]


def cpu_seconds(rounds: int, *sides: Callable[[], object]) -> list[float]:
    """The least CPU time of each side over rounds in which they take turns."""
    best = [float("inf")] * len(sides)
    for _ in range(rounds):
        for index, side in enumerate(sides):
            start = time.process_time()
            side()
            best[index] = min(best[index], time.process_time() - start)
    return best


def verdict(
    name: str, value: float, *, at_least: float | None = None, at_most: float | None = None
) -> bool:
    """Prints a figure against its targets; returns whether they are reached."""
    low, high = at_least is None or value >= at_least, at_most is None or value <= at_most
    reached = low and high
    limits = (("at least", at_least), ("at most", at_most))
    target = ", ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
    print(f"{name}: {value:.4g} (target: {target}) {'ok' if reached else 'MISSED'}", flush=True)
    return reached


def leave(*reached: bool) -> None:
    """Exits with 1 if a target was missed."""
    sys.exit(0 if all(reached) else 1)
