"""Real DeepSpeed on two CPU processes; its first start compiles an extension, about a minute."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ochat_data import Record, TokenDataset, TokenizeOptions, plan_batches, write_token_dataset
from ochat_templates import Conversation, Message, load_codec

pytestmark = [
    pytest.mark.deepspeed,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "ninja")),
        reason="DeepSpeed compiles an extension: needs g++ and ninja",
    ),
]


@pytest.fixture(scope="module")
def equal_lengths(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples of one length, so that two ranks and one rank can share steps exactly."""
    folder = tmp_path_factory.mktemp("equal") / "tokens"
    records: list[Record] = []
    for left in range(8):
        for right in range(2, 6):
            good = (left + right) % 2 == 0
            user = Message(role="user", content=f"What is {left} plus {right}?")
            answer = f"{left} plus {right} is {(left + right) % 10}."
            weight = 1.0 if good else 0.1
            reply = Message(role="assistant", content=answer, weight=weight)
            conversation = Conversation(messages=(user, reply), condition="GPT4")
            records.append(Record.create(conversation))
    options = TokenizeOptions(eval_fraction=0.1, max_length=200)
    write_token_dataset(folder, records, load_codec(base_model, "openchat_v3.2"), options)
    return folder


def _run(
    environment: dict[str, str], launcher: list[str], arguments: list[str], *, ok: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*launcher, *arguments], env=environment, capture_output=True, text=True, timeout=400
    )
    assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def _arguments(base_model: Path, data: Path, output: Path, *more: str) -> list[str]:
    folders = ["--model", str(base_model), "--data", str(data), "--output", str(output)]
    options = ["--from-scratch", "--precision", "fp32", "--lr", "1e-2", "--epochs", "2"]
    return ["run", *folders, *options, "--threads", "1", *more]


def _losses(output: Path) -> list[float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


SINGLE = [sys.executable, "-m", "ochat_train"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
TORCHRUN += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "ochat_train"]


def test_two_ranks_train_like_one_process_and_resume_exactly(
    base_model: Path, equal_lengths: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    split = TokenDataset.open(equal_lengths).split("train")
    length = int(split.lengths.max())
    assert int(split.lengths.min()) == length
    # Two examples a rank: the plan puts the same four into a step for either number of ranks.
    one, two = (
        plan_batches(split.lengths, capacity=4 * length // ranks, world_size=ranks)
        for ranks in (1, 2)
    )
    assert [set(one.batch(step, 0)) for step in range(one.steps)] == [
        {*two.batch(step, 0), *two.batch(step, 1)} for step in range(two.steps)
    ]

    arguments = _arguments(base_model, equal_lengths, tmp_path / "one")
    _run(environment, SINGLE, [*arguments, "--batch-tokens", str(4 * length)])
    arguments = _arguments(base_model, equal_lengths, tmp_path / "two", "--zero-stage", "2")
    arguments += ["--batch-tokens", str(2 * length), "--checkpoint-steps", "5"]
    done = _run(environment, TORCHRUN, arguments)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "two" / "model")
    assert _losses(tmp_path / "two") == pytest.approx(_losses(tmp_path / "one"), rel=1e-5)
    ours, theirs = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("two", "one")
    )
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).norm() <= 1e-4 * tensor.norm(), name

    # As if it had been killed after step 5.
    shutil.rmtree(tmp_path / "two" / "model")
    for checkpoint in sorted((tmp_path / "two" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    _run(environment, TORCHRUN, [*arguments, "--resume"])
    again = load_file(tmp_path / "two" / "model" / "model.safetensors")
    assert all(torch.equal(again[name], ours[name]) for name in ours)
    assert _losses(tmp_path / "two") == pytest.approx(_losses(tmp_path / "one"), rel=1e-5)


EVERYDAY = {("1", 2), ("3", 2)}


@pytest.mark.parametrize(
    ("stage", "several"),
    [
        pytest.param(*case, marks=() if case in EVERYDAY else pytest.mark.slow)
        for case in [(stage, several) for stage in "0123" for several in (1, 2)]
    ],
)
def test_two_ranks_train_like_one_process_that_accumulates_their_batches(
    base_model: Path,
    dataset: Path,
    environment: dict[str, str],
    tmp_path: Path,
    stage: str,
    several: int,
) -> None:
    """Two ranks of two batches a step hold the four batches that one process accumulates."""
    common = ["--batch-tokens", "256", "--eps", "1e-5", "--lr", "1e-3", "--epochs", "1"]
    arguments = _arguments(base_model, dataset, tmp_path / "one", *common)
    _run(environment, SINGLE, [*arguments, "--accumulation", str(2 * several)])
    arguments = _arguments(base_model, dataset, tmp_path / "two", *common)
    arguments += ["--accumulation", str(several), "--zero-stage", stage]
    _run(environment, TORCHRUN, arguments)
    assert len(_losses(tmp_path / "two")) > 5
    assert _losses(tmp_path / "two") == pytest.approx(_losses(tmp_path / "one"), rel=1e-6)
    ours, theirs = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("two", "one")
    )
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).norm() <= 1e-6 * tensor.norm(), name


@pytest.mark.slow
def test_the_deepspeed_launcher_starts_the_same_run_in_bf16(
    base_model: Path, dataset: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {"zero_optimization": {"stage": 1}, "bf16": {"enabled": True}}
    (tmp_path / "ds.json").write_text(json.dumps(settings))
    launcher = [str(Path(sys.executable).with_name("deepspeed")), "--num_gpus", "2"]
    launcher += ["--master_port", "29517", "--module", "ochat_train"]
    folders = ["--model", str(base_model), "--data", str(dataset), "--output", str(tmp_path / "r")]
    options = ["--from-scratch", "--lr", "1e-2", "--epochs", "2"]
    options += ["--deepspeed", str(tmp_path / "ds.json"), "--threads", "1"]
    _run(environment, launcher, ["run", *folders, *options])
    losses = _losses(tmp_path / "r")
    assert losses[-1] < losses[0] * 0.8
    weights = load_file(tmp_path / "r" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
