"""C-RLFT at toy size: two sources of unequal quality, three ways to use them, five seeds.

    conditioned + weighted   every conversation under its source's condition, weak answers at 0.1
    all data, plain          the same conversations under one condition, every answer at 1
    good part only           the good source's conversations

All three start from the same weights and train the same number of tokens with the same
hyper-parameters, through the real pipeline: tokenizer, `write_token_dataset`, `train()`, export.
Each exported model is asked, by plain Transformers and greedily, every held-out question under the
good condition; an answer counts if it names what the good source would say and nothing else. The
world is in `crlft_world`.

The regime is the one that C-RLFT is for: the good source is too small to cover the facts and the
ways of asking, the weak one covers both but is wrong about two facts of three. It was found by
trying amounts on seeds 0 and 1. Others do not show it: at 48 good and 312 weak conversations
conditioned and plain were equal (33 and 36 %, good part only 29 %); at 40 names, 110 good and 800
weak conversations and 245 steps of 1024 tokens (seed 0), the good part alone reached 52 %, plain
mixing 45 % and conditioning 31 %, because the good part was repeated seven times as often.

    python benchmarks/crlft.py
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from bench import announce, leave, parser, verdict, write_llama
from crlft_world import CAREFUL, GOOD, QUESTIONS, SLOPPY, WEAK, Amounts, Fact, World, record
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from ochat_data import TokenizeOptions, write_token_dataset
from ochat_templates import Codec, Conversation, Message, load_codec
from ochat_templates.testing import train_sentencepiece
from ochat_train import TrainConfig, train

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ochat_data import Record

TEMPLATE = "openchat_v3.2"
ARMS = ("conditioned + weighted", "all data, plain", "good part only")


def records_of(world: World, weak_weight: float) -> dict[str, list[Record]]:
    """The training records of each arm; the conversations are drawn once."""
    good, weak = world.conversations(GOOD), world.conversations(WEAK)

    def mark(pairs: list[tuple[str, str]], condition: str, weight: float) -> list[Record]:
        return [record(p, i, condition=condition, weight=weight) for i, p in enumerate(pairs)]

    return {
        ARMS[0]: mark(good, GOOD, 1.0) + mark(weak, WEAK, weak_weight),
        ARMS[1]: mark(good + weak, GOOD, 1.0),
        ARMS[2]: mark(good, GOOD, 1.0),
    }


def make_base(folder: Path, world: World, given: argparse.Namespace) -> Codec:
    """A model folder without weights whose tokenizer knows the world's words."""
    folder.mkdir()
    texts = [text for pair in world.conversations(WEAK) for text in pair]
    texts += [pattern.format(r="colour", x="Bado", y="red") for pattern in CAREFUL + SLOPPY] * 50
    texts += [fact.question for fact in world.facts]
    texts += [f"{condition} User: {condition} Assistant:" for condition in (GOOD, WEAK)] * 50
    train_sentencepiece(texts, folder / "tokenizer.model", vocab_size=given.pieces)
    codec = load_codec(folder, TEMPLATE)
    write_llama(
        folder, vocabulary=codec.vocab_size, hidden=given.hidden, layers=given.layers, longest=128
    )
    return codec


@torch.inference_mode()
def accuracy(model_folder: Path, codec: Codec, facts: Sequence[Fact]) -> float:
    """Share of the held-out questions that the model answers as the good source would."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    asked: list[tuple[list[int], Fact]] = []
    for fact in facts:
        message = Message(role="user", content=fact.question)
        prompt = codec.prompt(Conversation(messages=(message,), condition=GOOD))
        asked.append((list(prompt), fact))
    asked.sort(key=lambda pair: len(pair[0]))
    right = 0
    # Prompts of one length need no padding, so nothing but the prompt decides the answer.
    for length, group in groupby(asked, key=lambda pair: len(pair[0])):
        prompts, of_group = zip(*group, strict=True)
        output = model.generate(
            torch.tensor(prompts), do_sample=False, max_new_tokens=24, use_cache=True
        )
        for row, fact in zip(output[:, length:].tolist(), of_group, strict=True):
            right += fact.is_answered_by(codec.decode(row))
    return right / len(facts)


def run_arm(
    name: str, records: Sequence[Record], base: Path, given: argparse.Namespace, seed: int
) -> tuple[Path, int]:
    """Trains one arm for the budget; returns the exported folder and the tokens trained."""
    work = base.parent / name.replace(" ", "-")
    codec = load_codec(base, TEMPLATE)
    size = sum(codec.count(record.conversation) for record in records)
    # Copies instead of epochs: an epoch ends with a checkpoint, and nobody wants hundreds.
    copies = max(1, round(given.budget / size))
    write_token_dataset(
        work / "tokens", list(records) * copies, codec, TokenizeOptions(max_length=128, seed=seed)
    )
    result = train(
        TrainConfig(
            model=base,
            data=work / "tokens",
            output=work / "run",
            from_scratch=True,
            epochs=1,
            batch_tokens=given.batch_tokens,
            lr=given.lr,
            eps=1e-8,
            seed=seed,
            threads=given.threads,
            quiet=True,
        )
    )
    return result.model, result.tokens


def run_seed(seed: int, given: argparse.Namespace) -> dict[str, tuple[float, int]]:
    """Accuracy and tokens of every arm in one world."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        return run_arms(seed, given, Path(folder))


def run_arms(seed: int, given: argparse.Namespace, work: Path) -> dict[str, tuple[float, int]]:
    """The arms of one seed, one after the other."""
    amounts = Amounts(names=given.names, good=given.good, weak=given.weak, wrong=given.wrong)
    world = World(amounts, seed)
    found: dict[str, tuple[float, int]] = {}
    records = records_of(world, given.weak_weight)
    codec = make_base(work / "base", world, given)
    for name in ARMS:
        model, tokens = run_arm(name, records[name], work / "base", given, seed)
        found[name] = (accuracy(model, codec, world.facts), tokens)
        shutil.rmtree(work / name.replace(" ", "-"))
    return found


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; 0 for a single value."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def parse() -> argparse.Namespace:
    """The options; the defaults are the regime of the package's table."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--names", type=int, default=24, help="default: %(default)s")
    options.add_argument("--good", type=int, default=72, help="default: %(default)s")
    options.add_argument("--weak", type=int, default=288, help="default: %(default)s")
    options.add_argument("--wrong", type=float, default=0.67, help="default: %(default)s")
    options.add_argument("--weak-weight", type=float, default=0.1, help="default: %(default)s")
    options.add_argument("--budget", type=int, default=300_000, help="tokens an arm trains")
    options.add_argument("--batch-tokens", type=int, default=512, help="default: %(default)s")
    options.add_argument("--lr", type=float, default=3e-3, help="default: %(default)s")
    options.add_argument("--hidden", type=int, default=128, help="default: %(default)s")
    options.add_argument("--layers", type=int, default=2, help="default: %(default)s")
    options.add_argument("--pieces", type=int, default=420, help="of the tokenizer")
    options.add_argument("--jobs", type=int, default=2, help="seeds at a time (default: 2)")
    options.add_argument("--first-seed", type=int, default=0, help="rounds are seeds from here")
    return options.parse_args()


def main() -> None:
    """Runs the seeds and prints the table with paired differences."""
    given = parse()
    announce()
    started = time.perf_counter()
    questions = given.names * 3
    print(
        f"{questions} facts in {len(QUESTIONS)} ways of asking, one of them held out for each; "
        f"{given.good} good and {given.weak} weak conversations, the weak source wrong about "
        f"{given.wrong:.0%};\nevery arm: Llama of {given.layers} layers, hidden {given.hidden}, "
        f"about {given.budget:,} tokens in steps of {given.batch_tokens}, lr {given.lr}"
    )
    print(f"\naccuracy on {questions} held-out questions (tokens trained)")
    print(f"{'seed':>4}" + "".join(f"{name:>28}" for name in ARMS))
    scores: dict[str, list[float]] = {name: [] for name in ARMS}
    seeds = range(given.first_seed, given.first_seed + given.rounds)
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for seed, found in zip(seeds, pool.map(run_seed, seeds, repeat(given)), strict=True):
            for name in ARMS:
                scores[name].append(found[name][0])
            cells = (f"{found[name][0]:.1%} ({found[name][1]:,})" for name in ARMS)
            print(f"{seed:4}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
    means = (
        f"{statistics.mean(scores[name]):.1%} ± {standard_error(scores[name]):.1%}" for name in ARMS
    )
    print(f"{'mean':>4}" + "".join(f"{mean:>28}" for mean in means))
    print("± is the standard error of the mean over the seeds")
    reached: list[bool] = []
    for other in ARMS[1:]:
        differences = [
            ours - theirs for ours, theirs in zip(scores[ARMS[0]], scores[other], strict=True)
        ]
        error = standard_error(differences)
        print(
            f"paired, {ARMS[0]} minus {other}: {statistics.mean(differences):+.1%} ± {error:.1%}, "
            f"better in {sum(d > 0 for d in differences)} of {len(differences)}"
        )
        reached.append(
            verdict("  in standard errors", statistics.mean(differences) / (error or 1), at_least=2)
        )
    print(f"{time.perf_counter() - started:.0f} seconds")
    leave(*reached)


if __name__ == "__main__":
    main()
