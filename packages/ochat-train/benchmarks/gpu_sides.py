"""The sides of `gpu`: one training step after another, ours, padded and TRL's, and what it took.

Runs on CUDA, or on a CPU at toy size, which is how the code is kept alive where no GPU is.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from bench import DISTRIBUTIONS, memory_mib, reset_peak_memory
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from ochat_data import plan_batches
from ochat_train import TrainConfig, attention, probe_isolation
from ochat_train.batch import collate
from ochat_train.engine import SingleProcessEngine, build_optimizer
from ochat_train.flops import StepFlops, peak_flops
from ochat_train.model import enable_gradient_checkpointing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

LR = 2e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A Llama, in the proportions of Llama 3.2 where it is not tiny."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    longest: int

    def build(self, device: str = "cpu") -> PreTrainedModel:
        """The model with float32 weights."""
        config = LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=self.longest,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa"
        ).train()
        nn.Module.to(model, device)
        return model


SHAPES = {
    "tiny": Shape(
        hidden=128, intermediate=256, layers=2, heads=2, kv_heads=1, vocabulary=512, longest=256
    ),
    "1b": Shape(
        hidden=2048,
        intermediate=8192,
        layers=16,
        heads=32,
        kv_heads=8,
        vocabulary=128_256,
        longest=4096,
    ),
    "3b": Shape(
        hidden=3072,
        intermediate=8192,
        layers=28,
        heads=24,
        kv_heads=8,
        vocabulary=128_256,
        longest=4096,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a side is to do.

    Attributes:
        shape: name of one of `SHAPES`.
        device: "cuda" or "cpu".
        rows: capacity of a step, in longest conversations.
        steps: timed ones; one more warms up.
        checkpointing: compute activations again in the backward pass, on every side.
        threads: of torch on the CPU.
    """

    shape: str
    device: str
    rows: int
    steps: int
    checkpointing: bool
    threads: int

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation."""
        return SHAPES[self.shape].longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a side took; `tokens` and `squares` are of conversations, padding not counted."""

    tokens: int
    squares: int
    seconds: float
    peak_gib: float
    mfu: float | None
    used: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A conversation of random tokens, all of which are targets."""

    ids: np.ndarray
    weights: np.ndarray
    condition: str = ""


def batches_of(job: Job) -> list[list[Tokens]]:
    """The conversations of each step, as our packer deals them out; every side trains these."""
    torch.set_num_threads(job.threads)
    distribution = DISTRIBUTIONS[0]
    divisor = distribution.longest // job.longest
    count = (job.steps + 2) * job.rows * 4
    lengths = distribution.spread(count, divisor=divisor)
    plan = plan_batches(lengths, capacity=job.rows * job.longest)
    draw = np.random.default_rng(0)
    made = [
        Tokens(ids=draw.integers(0, SHAPES[job.shape].vocabulary, n), weights=np.ones(n, "f4"))
        for n in lengths
    ]
    return [[made[int(i)] for i in plan.batch(step, 0)] for step in range(job.steps + 1)]


def ours(job: Job) -> Outcome:
    """Packed, through the trainer's engine; names the attention kernels that were chosen."""
    chosen: set[str] = set()
    choose = attention.choose_backend

    def recording(*arguments: Any) -> Any:  # noqa: ANN401 - passes on whatever came
        backend = choose(*arguments)
        chosen.add(backend.__name__)
        return backend

    setattr(attention, "choose_backend", recording)  # noqa: B010 - a hook of this benchmark
    model = SHAPES[job.shape].build()
    probe_isolation(model)
    if job.checkpointing:
        enable_gradient_checkpointing(model)
    engine = SingleProcessEngine(model.train(), settings(job))
    batches = batches_of(job)
    chosen.clear()

    def step(number: int) -> None:
        batch = collate(batches[number])
        engine.train_step([batch], float(batch.weights.sum()), LR)

    return measured(step, batches, model, lambda: ", ".join(sorted(chosen)))


def padded_to_longest(job: Job) -> Outcome:
    """The same conversations in rectangles as wide as their longest, `rows` at a time."""
    return padded(job, None)


def padded_to_maximum(job: Job) -> Outcome:
    """The same conversations in rectangles as wide as the longest of all, `rows` at a time."""
    return padded(job, job.longest)


def padded(job: Job, width: int | None) -> Outcome:
    """Transformers' own forward and loss; a step adds up the gradients of its rectangles."""
    model = SHAPES[job.shape].build(job.device)
    if job.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = build_optimizer(model, settings(job))
    batches = batches_of(job)

    def step(number: int) -> None:
        examples = batches[number]
        for start in range(0, len(examples), job.rows):
            part = examples[start : start + job.rows]
            columns = width or max(len(example.ids) for example in part)
            ids = torch.zeros(len(part), columns, dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for row, example in enumerate(part):
                ids[row, : len(example.ids)] = torch.from_numpy(example.ids)
                mask[row, : len(example.ids)] = 1
            labels = ids.masked_fill(mask == 0, -100).to(job.device)
            ids, mask = ids.to(job.device), mask.to(job.device)
            with torch.autocast(job.device, torch.bfloat16, enabled=job.device == "cuda"):
                loss = model(
                    input_ids=ids, attention_mask=mask, labels=labels, use_cache=False
                ).loss
            (loss * len(part) / len(examples)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return measured(step, batches, model, lambda: "sdpa")


def trl(job: Job) -> Outcome:
    """SFTTrainer with packing, its defaults otherwise; its own clock, its first step left out."""
    library, datasets = (cast("Any", import_module(name)) for name in ("trl", "datasets"))
    examples = [example for batch in batches_of(job) for example in batch]
    rows = datasets.Dataset.from_dict({"input_ids": [e.ids.tolist() for e in examples]})
    model = SHAPES[job.shape].build()
    stamps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = library.SFTTrainer(
            model=model,
            args=library.SFTConfig(
                output_dir=folder,
                packing=True,
                max_length=job.longest,
                per_device_train_batch_size=job.rows,
                max_steps=job.steps + 1,
                learning_rate=LR,
                bf16=job.device == "cuda",
                use_cpu=job.device == "cpu",
                gradient_checkpointing=job.checkpointing,
                dataloader_pin_memory=job.device == "cuda",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows,
            processing_class=stand_in_tokenizer(),
        )
        step = trainer.training_step
        seen: list[torch.Tensor] = []

        def watched(model: nn.Module, inputs: dict[str, torch.Tensor], *more: object) -> object:
            synchronize(job.device)
            stamps.append(time.perf_counter())
            seen.append(inputs["position_ids"].cpu())
            return step(model, inputs, *more)

        trainer.training_step = watched
        reset_peak(job.device)
        trainer.train()
        synchronize(job.device)
        seconds = time.perf_counter() - stamps[1]
    lengths = np.concatenate([lengths_of(positions) for positions in seen[1:]])
    return outcome(lengths, seconds, model, f"{model.config._attn_implementation}, bfd")


def lengths_of(positions: torch.Tensor) -> np.ndarray:
    """Lengths of the conversations in a packed row, from positions that start at 0 in each."""
    flat = positions.flatten()
    starts = torch.nonzero(flat == 0).flatten().tolist()
    return np.diff([*starts, len(flat)])


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


def settings(job: Job) -> TrainConfig:
    """The published defaults, in the device's precision."""
    config = TrainConfig(model=Path(), data=Path(), output=Path(), precision="fp32", lr=LR)
    return replace(config, precision="bf16") if job.device == "cuda" else config


def measured(
    step: Callable[[int], None],
    batches: Sequence[Sequence[Tokens]],
    model: PreTrainedModel,
    used: Callable[[], str],
) -> Outcome:
    """Times all steps but the first."""
    device = model.device.type
    step(0)
    synchronize(device)
    reset_peak(device)
    started = time.perf_counter()
    for number in range(1, len(batches)):
        step(number)
    synchronize(device)
    seconds = time.perf_counter() - started
    lengths = np.array([len(example.ids) for batch in batches[1:] for example in batch])
    return outcome(lengths, seconds, model, used())


def outcome(lengths: np.ndarray, seconds: float, model: PreTrainedModel, used: str) -> Outcome:
    """The figures; MFU counts the flops of real tokens only, so padding lowers it."""
    tokens, squares = int(lengths.sum()), int((lengths.astype(np.int64) ** 2).sum())
    peak = peak_flops(model.device)
    return Outcome(
        tokens=tokens,
        squares=squares,
        seconds=seconds,
        peak_gib=peak_gib(model.device.type),
        mfu=StepFlops(model)(tokens, squares) / seconds / peak if peak else None,
        used=used,
    )


def synchronize(device: str) -> None:
    """Waits for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def reset_peak(device: str) -> None:
    """Starts the mark of the peak again."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        reset_peak_memory()


def peak_gib(device: str) -> float:
    """Peak memory since the reset: allocated on the GPU, or resident on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return memory_mib("VmHWM") / 1024
