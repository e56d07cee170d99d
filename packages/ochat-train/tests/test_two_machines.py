"""Two "machines" with addresses of their own (network namespaces) train together.

Both see one disk, as machines of a cluster do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = [
    pytest.mark.deepspeed,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "ninja", "ip")),
        reason="needs g++ and ninja for DeepSpeed's extension, and ip for the machines",
    ),
]
ADDRESSES = ("10.77.41.1", "10.77.41.2")
# Of this process, so that two runs of the tests keep out of each other's way.
NAMES = (f"ochat-a-{os.getpid()}", f"ochat-b-{os.getpid()}")
TIMEOUT = 15


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _remove() -> None:
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def machines() -> Generator[None]:
    """Two network namespaces with a cable between them."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    _remove()
    try:
        for name in NAMES:
            _ip("netns", "add", name)
        _ip(
            "link",
            "add",
            "ochat0",
            "netns",
            NAMES[0],
            "type",
            "veth",
            "peer",
            "name",
            "ochat1",
            "netns",
            NAMES[1],
        )
        for number, name in enumerate(NAMES):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{ADDRESSES[number]}/24", "dev", f"ochat{number}")
            _ip("-n", name, "link", "set", f"ochat{number}", "up")
    except subprocess.CalledProcessError as error:
        _remove()
        pytest.skip(f"network namespaces are not permitted here: {error.stderr.decode()}")
    yield
    _remove()


def _arguments(base_model: Path, dataset: Path, output: Path, *more: str) -> list[str]:
    folders = ["--model", str(base_model), "--data", str(dataset), "--output", str(output)]
    options = ["--from-scratch", "--precision", "fp32", "--lr", "1e-2", "--batch-tokens", "256"]
    options += ["--threads", "1", "--checkpoint-steps", "5", "--zero-stage", "2", "--quiet"]
    return ["run", *folders, *options, "--rank-timeout", str(TIMEOUT), *more]


def _torchrun(number: int) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    launcher += ["--nproc-per-node", "1", "--rdzv-id", "test", "--rdzv-backend", "c10d"]
    launcher += ["--rdzv-endpoint", f"{ADDRESSES[0]}:29441", "--local-addr", ADDRESSES[number]]
    launcher += ["--rdzv-conf", f"is_host={'true' if number == 0 else 'false'}"]
    return [*launcher, "-m", "ochat_train"]


def _deepspeed(hostfile: Path, number: int) -> list[str]:
    launcher = [str(Path(sys.executable).with_name("deepspeed")), "--hostfile", str(hostfile)]
    launcher += ["--no_ssh", "--node_rank", str(number), "--master_addr", ADDRESSES[0]]
    return [*launcher, "--master_port", "29442", "--module", "ochat_train"]


class Cluster:
    """What runs on both machines."""

    def __init__(
        self, commands: Sequence[list[str]], environment: dict[str, str], logs: Path
    ) -> None:
        logs.mkdir()
        self.logs = [logs / f"machine-{number}.log" for number in range(2)]
        self.processes: list[subprocess.Popen[bytes]] = []
        for number, command in enumerate(commands):
            with self.logs[number].open("wb") as log:
                process = subprocess.Popen(
                    ["ip", "netns", "exec", NAMES[number], *command],
                    env={**environment, "GLOO_SOCKET_IFNAME": f"ochat{number}"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            self.processes.append(process)

    def wait(self, seconds: float) -> list[int]:
        """Exit codes of both launchers."""
        deadline = time.monotonic() + seconds
        try:
            return [p.wait(max(0.1, deadline - time.monotonic())) for p in self.processes]
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(self.said(0)[-3000:] + self.said(1)[-3000:]) from None

    def said(self, number: int) -> str:
        return self.logs[number].read_text(errors="replace")

    def end(self) -> None:
        for number, process in enumerate(self.processes):
            process.kill()
            pids = subprocess.run(
                ["ip", "netns", "pids", NAMES[number]], capture_output=True, text=True, check=False
            ).stdout.split()
            for pid in pids:
                subprocess.run(["kill", "-9", pid], check=False)
            process.wait()


@pytest.mark.parametrize("launcher", ["torchrun", "deepspeed"])
@pytest.mark.usefixtures("machines")
def test_two_machines_train_one_is_cut_off_and_the_run_resumes(
    base_model: Path, dataset: Path, environment: dict[str, str], tmp_path: Path, launcher: str
) -> None:
    hostfile = tmp_path / "hostfile"
    hostfile.write_text("".join(f"{address} slots=1\n" for address in ADDRESSES))

    def start(logs: str, output: Path, *more: str) -> Cluster:
        commands = [
            [
                *(_torchrun(number) if launcher == "torchrun" else _deepspeed(hostfile, number)),
                *_arguments(base_model, dataset, output, *more),
            ]
            for number in range(2)
        ]
        return Cluster(commands, environment, tmp_path / logs)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    both = start("first", whole, "--epochs", "6")
    assert both.wait(300) == [0, 0], both.said(0)[-3000:] + both.said(1)[-3000:]

    both = start("second", cut, "--epochs", "6")
    try:
        deadline = time.monotonic() + 120
        while not list(cut.glob("checkpoints/step-*")):
            assert time.monotonic() < deadline, both.said(0)[-3000:] + both.said(1)[-3000:]
            time.sleep(0.05)
        _ip("-n", NAMES[1], "link", "set", "ochat1", "down")
        at = time.monotonic()
        # The default of --rank-timeout is four times as long.
        while not ("lost rank 1" in both.said(0) and "has not answered" in both.said(1)):
            assert time.monotonic() - at < 60, both.said(0)[-3000:] + both.said(1)[-3000:]
            time.sleep(0.2)
    finally:
        both.end()
    assert not (cut / "model").exists()
    assert "--resume" in both.said(0)
    assert "lost rank 1" in (cut / "logs" / "rank-00000.log").read_text()

    _ip("-n", NAMES[1], "link", "set", "ochat1", "up")
    both = start("third", cut, "--epochs", "6", "--resume")
    assert both.wait(300) == [0, 0], both.said(0)[-3000:] + both.said(1)[-3000:]
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
