"""CPU time of two sides in one run, and conversations to measure on."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

from ochat_templates import Conversation, Message
from ochat_templates.testing import train_sentencepiece


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--tokenizer",
        type=Path,
        help="a SentencePiece .model (default: a small one, trained on Python's own manual)",
    )
    made.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    return made


def tokenizer_file(given: Path | None, folder: Path) -> Path:
    """The given file, or one of 4,000 pieces trained on Python's manual."""
    if given:
        return given
    return train_sentencepiece(topics.values(), folder / "tokenizer.model", vocab_size=4000)


def conversations(count: int, *, messages: int, characters: int) -> list[Conversation]:
    """Cuts of Python's manual as seeded conversations: English, code and indentation."""
    text = "\n".join(topics.values())
    rng = random.Random(0)  # noqa: S311 - a seed, not a secret
    made: list[Conversation] = []
    for _ in range(count):
        turns: list[Message] = []
        for index in range(messages):
            start = rng.randrange(len(text) - characters)
            length = rng.randint(characters // 2, characters * 3 // 2)
            role = ("user", "assistant")[index % 2]
            turns.append(Message(role=role, content=text[start : start + length]))
        made.append(Conversation(messages=tuple(turns)))
    return made


def cpu_seconds(rounds: int, *sides: Callable[[], object]) -> list[float]:
    """The least CPU time of each side over rounds in which they take turns."""
    best = [float("inf")] * len(sides)
    for _ in range(rounds):
        for index, side in enumerate(sides):
            start = time.process_time()
            side()
            best[index] = min(best[index], time.process_time() - start)
    return best


def verdict(name: str, ratio: float, *, at_least: float) -> bool:
    """Prints a ratio against its target; returns whether it is reached."""
    reached = ratio >= at_least
    print(f"{name}: {ratio:.2f} (target: at least {at_least}) {'ok' if reached else 'MISSED'}")
    return reached


def leave(*reached: bool) -> None:
    """Exits with 1 if a target was missed."""
    sys.exit(0 if all(reached) else 1)
