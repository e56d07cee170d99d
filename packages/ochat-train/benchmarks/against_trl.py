"""ochat-train against TRL's SFTTrainer with packing: speed, memory, and held-out loss.

Both sides start from the same weights, train the same tokenised conversations once with the same
settings (float32, AdamW, cosine schedule, clipping, tokens a step, threads), write one checkpoint
at the end, and are measured in processes of their own, in turns. Speed is that of the training loop
alone (`trainer.train()`; ours: `TrainingLoop.run`), from CPU time and from the clock; memory is the
peak of the resident process. One and the same evaluator, plain Transformers on one conversation at
a time, gives the held-out loss of both exported models.

TRL gets what is best for it on a CPU: sdpa, bfd packing (which turns padding_free on), no
activation checkpointing (its default would cost it a third), its fused head as it comes. Both run
twice, with all rows of a step in one batch, and with one row a batch and as many accumulated, which
keeps the mask that sdpa needs small. Our default, one batch, is held against TRL's faster way;
memory is compared way by way.

It needs an environment of its own, because TRL's pins may differ:

    python -m venv trl-env && trl-env/bin/pip install torch==2.13.0
    trl-env/bin/pip install trl==1.16.0 peft accelerate datasets \
        -e packages/ochat-templates -e packages/ochat-data -e packages/ochat-train
    trl-env/bin/python packages/ochat-train/benchmarks/against_trl.py

(Not named `trl.py`, which would hide TRL from Python.)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
from bench import (
    DISTRIBUTIONS,
    announce,
    in_own_process,
    installed,
    leave,
    memory_mib,
    parser,
    verdict,
)

MIN_LR_RATIO = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What both sides are told."""

    base: Path
    tokens: Path
    output: Path
    row: int
    rows: int
    lr: float
    warmup: int
    seed: int
    threads: int
    accumulate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one side did."""

    model: Path
    steps: int
    cpu: float
    wall: float
    peak_mib: float
    used: str


def ours(job: Job) -> Outcome:
    """Trains with ochat-train; the loop is timed by a wrapper around its `run`."""
    from ochat_train import TrainConfig, loop, train

    spent: list[float] = []
    inner = loop.TrainingLoop.run

    def timed(self: loop.TrainingLoop) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        inner(self)
        spent.extend([time.process_time() - cpu, time.perf_counter() - wall])

    setattr(loop.TrainingLoop, "run", timed)  # noqa: B010 - a hook of this benchmark only
    result = train(
        TrainConfig(
            model=job.base,
            data=job.tokens,
            output=job.output,
            epochs=1,
            batch_tokens=job.row if job.accumulate else job.row * job.rows,
            accumulation=job.rows if job.accumulate else 1,
            lr=job.lr,
            lr_min_ratio=MIN_LR_RATIO,
            warmup_steps=job.warmup,
            precision="fp32",
            seed=job.seed,
            threads=job.threads,
            quiet=True,
        )
    )
    return Outcome(
        model=result.model,
        steps=result.steps,
        cpu=spent[0],
        wall=spent[1],
        peak_mib=memory_mib("VmHWM"),
        used="ochat_varlen (per-sequence SDPA on a CPU), weighted chunked loss",
    )


def theirs(job: Job) -> Outcome:
    """Trains with TRL."""
    trl, datasets, transformers, torch = (
        cast("Any", import_module(name)) for name in ("trl", "datasets", "transformers", "torch")
    )
    torch.set_num_threads(job.threads)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    rows = datasets.Dataset.from_dict(pretokenised(job.tokens))
    settings = trl.SFTConfig(
        output_dir=str(job.output / "trl"),
        packing=True,
        max_length=job.row,
        per_device_train_batch_size=1 if job.accumulate else job.rows,
        gradient_accumulation_steps=job.rows if job.accumulate else 1,
        num_train_epochs=1,
        learning_rate=job.lr,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": MIN_LR_RATIO},
        warmup_steps=job.warmup,
        adam_beta1=0.9,
        adam_beta2=0.95,
        adam_epsilon=1e-5,
        weight_decay=0.1,
        max_grad_norm=1.0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        seed=job.seed,
        save_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job.base, dtype=torch.float32, attn_implementation="sdpa"
    )
    trainer = trl.SFTTrainer(
        model=model, args=settings, train_dataset=rows, processing_class=stand_in_tokenizer()
    )
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    folder = job.output / "model"
    trainer.save_model(str(folder))
    used = {
        "attention": model.config._attn_implementation,
        "padding_free": trainer.padding_free,
        "packing": settings.packing_strategy,
        "optim": str(settings.optim),
        "gradient_checkpointing": settings.gradient_checkpointing,
    }
    return Outcome(
        model=folder,
        steps=trainer.state.global_step,
        cpu=cpu,
        wall=wall,
        peak_mib=memory_mib("VmHWM"),
        used=str(used),
    )


OURS, TRL = "ochat-train", "TRL"
ONE, ACCUMULATED = "one batch", "accumulated"
SIDES = {
    (name, way): side for way in (ONE, ACCUMULATED) for name, side in ((OURS, ours), (TRL, theirs))
}


def pretokenised(folder: Path) -> dict[str, list[list[int]]]:
    """The token dataset as TRL takes it: ids, and labels that mask what has no weight."""
    from ochat_data import TokenDataset

    split = TokenDataset.open(folder).split("train")
    examples = [split.example(index) for index in range(len(split))]
    return {
        "input_ids": [example.ids.tolist() for example in examples],
        "labels": [
            np.where(example.weights > 0, example.ids, -100).tolist() for example in examples
        ],
    }


def stand_in_tokenizer() -> object:
    """TRL wants a tokenizer for its padding id; nothing is tokenised with it."""
    tokenizers, transformers = (
        cast("Any", import_module(name)) for name in ("tokenizers", "transformers")
    )
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    table = {token: index for index, token in enumerate(special.values())}
    words = tokenizers.models.WordLevel(table, unk_token=special["unk_token"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(words), pad_token=special["unk_token"], **special
    )


def held_out_loss(model_folder: Path, tokens: Path, threads: int) -> float:
    """Mean loss of the supervised tokens, one conversation at a time, by plain Transformers."""
    torch, transformers = (cast("Any", import_module(n)) for n in ("torch", "transformers"))
    torch.set_num_threads(threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model.eval()
    rows = pretokenised(tokens)
    total, count = 0.0, 0
    with torch.inference_mode():
        for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
            target = torch.tensor(labels[1:])
            loss = torch.nn.functional.cross_entropy(logits, target, reduction="sum")
            total += float(loss)
            count += int((target != -100).sum())
    return total / count


def main() -> None:
    """Trains both sides in turns and prints what each took and reached."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--conversations", type=int, default=500, help="default: %(default)s")
    options.add_argument("--hidden", type=int, default=256, help="default: %(default)s")
    options.add_argument("--layers", type=int, default=4, help="default: %(default)s")
    options.add_argument("--pieces", type=int, default=2000, help="of the tokenizer")
    options.add_argument("--divisor", type=int, default=8, help="of lengths (default: %(default)s)")
    options.add_argument("--rows", type=int, default=4, help="of the longest length, a step")
    options.add_argument("--lr", type=float, default=1e-3, help="default: %(default)s")
    given = options.parse_args()
    if not installed("trl"):
        sys.exit("TRL is not installed here; the docstring tells how to make an environment for it")
    announce("trl", "accelerate", "peft", "datasets")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        counts = in_own_process(prepare, work, given)
        row = DISTRIBUTIONS[0].longest // given.divisor
        print(
            f"{given.conversations} conversations, {counts} tokens ({DISTRIBUTIONS[0].name} / "
            f"{given.divisor}); Llama, hidden {given.hidden}, {given.layers} layers; float32, "
            f"{given.rows} x {row} tokens a step, lr {given.lr}, {given.threads} thread(s)"
        )
        found: dict[tuple[str, str], list[tuple[Outcome, float]]] = {key: [] for key in SIDES}
        for number in range(given.rounds):
            for (name, way), side in SIDES.items():
                job = Job(
                    base=work / "base",
                    tokens=work / "train",
                    output=work / f"{name}-{way.replace(' ', '-')}-{number}",
                    accumulate=way == ACCUMULATED,
                    row=row,
                    rows=given.rows,
                    lr=given.lr,
                    warmup=4,
                    seed=number,
                    threads=given.threads,
                )
                outcome = in_own_process(side, job)
                loss = in_own_process(held_out_loss, outcome.model, work / "eval", given.threads)
                found[name, way].append((outcome, loss))
        report(found, counts)


def prepare(work: Path, given: Any) -> int:  # noqa: ANN401 - an argparse.Namespace
    """Writes model and datasets; returns the tokens of the training set."""
    from corpus import make_base, write_dataset

    from ochat_data import TokenDataset

    longest = DISTRIBUTIONS[0].longest // given.divisor
    codec = make_base(
        work / "base",
        hidden=given.hidden,
        layers=given.layers,
        pieces=given.pieces,
        longest=longest,
    )
    for name, count, seed in (("train", given.conversations, 0), ("eval", 100, 1)):
        write_dataset(
            work / name,
            codec,
            DISTRIBUTIONS[0],
            conversations=count,
            divisor=given.divisor,
            seed=seed,
        )
    return int(TokenDataset.open(work / "train").split("train").lengths.sum())


def report(found: dict[tuple[str, str], list[tuple[Outcome, float]]], tokens: int) -> None:
    """Prints the table and the verdicts on the medians."""
    print(
        f"{'':26}{'steps':>6}{'tokens/CPU s':>14}{'tokens/s':>10}{'peak MiB':>10}"
        f"{'held-out loss':>15}"
    )
    medians: dict[tuple[str, str], list[float]] = {}
    for key, results in found.items():
        columns = [(o.cpu, o.wall, o.peak_mib, loss) for o, loss in results]
        medians[key] = [statistics.median(column) for column in zip(*columns, strict=True)]
        cpu, wall, peak, loss = medians[key]
        steps = results[0][0].steps
        print(
            f"{', '.join(key):26}{steps:6}{tokens / cpu:14.0f}{tokens / wall:10.0f}{peak:10.0f}"
            f"{loss:15.4f}"
        )
    for name in (OURS, TRL):
        print(f"{name} used: {found[name, ONE][0][0].used}")
    mine, their = medians[OURS, ONE], [medians[TRL, way] for way in (ONE, ACCUMULATED)]
    speed = [min(times[column] for times in their) / mine[column] for column in (0, 1)]
    memory = [medians[OURS, way][2] / medians[TRL, way][2] for way in (ONE, ACCUMULATED)]
    loss = max(medians[OURS, way][3] for way in (ONE, ACCUMULATED)) / min(m[3] for m in their)
    leave(
        verdict("tokens per CPU second, ours in one batch / TRL's faster", speed[0], at_least=1.15),
        verdict("tokens per second, ours in one batch / TRL's faster", speed[1], at_least=1.15),
        verdict("peak memory in one batch, ours / TRL", memory[0], at_most=1.0),
        verdict("peak memory accumulated, ours / TRL", memory[1], at_most=1.0),
        verdict("held-out loss, ours / TRL, the worst of both", loss, at_most=1.01),
    )


if __name__ == "__main__":
    main()
