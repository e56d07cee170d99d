"""Adapters on two ranks of real DeepSpeed; its first start compiles an extension (a minute)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import PreTrainedModel

pytestmark = [
    pytest.mark.deepspeed,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "ninja")),
        reason="DeepSpeed compiles an extension: needs g++ and ninja",
    ),
]

SINGLE = [sys.executable, "-m", "ochat_train"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
TORCHRUN += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "ochat_train"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("extensions")
    return {**os.environ, "TORCH_EXTENSIONS_DIR": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def base(
    base_model: Path,
    make_model: Callable[..., PreTrainedModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("with-weights") / "base"
    shutil.copytree(base_model, folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    shape = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 256}
    make_model("llama", vocab_size=vocabulary, **shape).save_pretrained(folder)
    return folder


def _arguments(base: Path, data: Path, output: Path, *more: str) -> list[str]:
    folders = ["--model", str(base), "--data", str(data), "--output", str(output)]
    options = ["--precision", "fp32", "--lr", "1e-3", "--eps", "1e-5", "--batch-tokens", "256"]
    return ["run", *folders, *options, "--epochs", "2", "--threads", "1", "--quiet", *more]


def _run(environment: dict[str, str], command: list[str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _losses(output: Path) -> list[float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize(
    ("kind", "stage"), [("--lora", "2"), ("--lora", "3"), ("--qlora", "2"), ("--qlora", "0")]
)
def test_two_ranks_train_the_adapter_that_one_process_trains(
    base: Path, dataset: Path, environment: dict[str, str], tmp_path: Path, kind: str, stage: str
) -> None:
    """And resume it bit for bit; every export is verified by the run itself."""
    one, two = tmp_path / "one", tmp_path / "two"
    _run(environment, [*SINGLE, *_arguments(base, dataset, one, kind, "--accumulation", "2")])
    command = [*TORCHRUN, *_arguments(base, dataset, two, kind, "--zero-stage", stage)]
    command += ["--gradient-checkpointing"]
    _run(environment, command)
    assert _losses(two) == pytest.approx(_losses(one), rel=1e-5)
    for file in ("adapter/adapter_model.safetensors", "model/model.safetensors"):
        ours, theirs = load_file(two / file), load_file(one / file)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert (ours[name] - tensor).norm() <= 1e-4 * tensor.norm(), name
    ours = load_file(two / "adapter" / "adapter_model.safetensors")
    # As if it had been killed after the first epoch.
    shutil.rmtree(two / "model")
    shutil.rmtree(two / "adapter")
    for checkpoint in sorted((two / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    _run(environment, [*command, "--resume"])
    again = load_file(two / "adapter" / "adapter_model.safetensors")
    assert all((again[name] == tensor).all() for name, tensor in ours.items())


@pytest.mark.parametrize("stage", [2, 3])
def test_an_optimiser_on_the_host_trains_the_model_of_one_process(
    base: Path, dataset: Path, environment: dict[str, str], tmp_path: Path, stage: int
) -> None:
    """DeepSpeed's AdamW for the CPU; its first start compiles for minutes. Resumed to rounding."""
    zero: dict[str, object] = {"stage": stage, "offload_optimizer": {"device": "cpu"}}
    if stage == 3:
        zero["offload_param"] = {"device": "cpu"}
    (tmp_path / "ds.json").write_text(json.dumps({"zero_optimization": zero}))
    one, two = tmp_path / "one", tmp_path / "two"
    _run(environment, [*SINGLE, *_arguments(base, dataset, one, "--accumulation", "2")])
    command = [*TORCHRUN, *_arguments(base, dataset, two, "--deepspeed")]
    command.append(str(tmp_path / "ds.json"))
    _run(environment, command)
    assert _losses(two) == pytest.approx(_losses(one), rel=1e-5)
    ours = load_file(two / "model" / "model.safetensors")
    for name, tensor in load_file(one / "model" / "model.safetensors").items():
        assert (ours[name] - tensor).norm() <= 1e-4 * tensor.norm(), name
    shutil.rmtree(two / "model")
    for checkpoint in sorted((two / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    _run(environment, [*command, "--resume"])
    # Its kernel keeps products of the betas of its own, which a resumed one takes anew as powers.
    again = load_file(two / "model" / "model.safetensors")
    for name, tensor in ours.items():
        assert (again[name] - tensor).norm() <= 1e-6 * tensor.norm(), name
