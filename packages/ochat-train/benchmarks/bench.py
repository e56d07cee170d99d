"""What the training benchmarks share: two sides in one run, lengths to draw, models to build.

Says on which machine and with which versions a figure was measured; knows nothing of training.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Conversation lengths as ShareGPT has them: a clipped log-normal.

    Attributes:
        name: how the tables call it.
        mean: of the logarithm of the tokens.
        sigma: of the same.
        longest: longer ones are clipped here.
    """

    name: str
    mean: float
    sigma: float
    longest: int

    def draw(self, count: int, *, seed: int = 0) -> np.ndarray:
        """Random lengths, int64 `(count,)`."""
        return self._clip(np.random.default_rng(seed).normal(self.mean, self.sigma, count))

    def spread(self, count: int, *, divisor: int = 1, seed: int = 0) -> np.ndarray:
        """Evenly spaced quantiles in random order, so that a small set has the right shape.

        Args:
            count: how many.
            divisor: all lengths, the clip included, are divided by this.
            seed: of the order.
        """
        quantiles = (np.arange(count) + 0.5) / count
        normal = statistics.NormalDist(self.mean, self.sigma)
        lengths = self._clip(np.array([normal.inv_cdf(float(q)) for q in quantiles]))
        np.random.default_rng(seed).shuffle(lengths)
        return np.maximum(4, lengths // divisor)

    def _clip(self, logarithms: np.ndarray) -> np.ndarray:
        return np.clip(np.exp(logarithms), 16, self.longest).astype(np.int64)


# The distributions of the project's packing tables: mean 1090 and 1251 tokens.
DISTRIBUTIONS = (
    Distribution(name="ln4096", mean=6.65, sigma=0.9, longest=4096),
    Distribution(name="lt8192", mean=6.45, sigma=1.25, longest=8192),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Medians over the rounds.

    Attributes:
        cpu: CPU seconds of this process, all threads.
        wall: seconds on the clock, which other people's jobs lengthen.
    """

    cpu: float
    wall: float


def parser(doc: str | None, *, rounds: int, threads: int = 1) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    made.add_argument(
        "--threads", type=int, default=threads, help="of torch, both sides (default: %(default)s)"
    )
    return made


def announce(*packages: str) -> None:
    """Prints what the figures depend on; a package that is not installed is named as left out."""
    found = {name: _version(name) for name in ("torch", "transformers", *packages)}
    versions = [f"{name} {number}" for name, number in found.items() if number]
    print(f"machine: {_processor()}, {os.cpu_count()} cores, {platform.system()}")
    print(f"versions: Python {platform.python_version()}, {', '.join(versions)}")
    print(f"command: python {' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}")
    missing = [name for name, number in found.items() if not number]
    if missing:
        print(f"left out, because not installed: {', '.join(missing)}")


def installed(package: str) -> bool:
    """Whether a peer can be compared with."""
    return bool(_version(package))


def interleave(rounds: int, sides: Mapping[str, Callable[[], object]]) -> dict[str, Timing]:
    """Times the sides in turns, so that a busy machine slows all of them alike."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side()
            measured[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: Timing(
            cpu=statistics.median(cpu for cpu, _ in pairs),
            wall=statistics.median(wall for _, wall in pairs),
        )
        for name, pairs in measured.items()
    }


def in_own_process(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    """The result of a function of a module, called in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def reset_peak_memory() -> None:
    """Lets the kernel's mark of the peak start again at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mib(field: str) -> float:
    """`VmHWM` (peak since start or reset) or `VmRSS` (now) of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"this system does not tell {field}; the benchmark needs Linux")


def verdict(
    name: str, value: float, *, at_least: float | None = None, at_most: float | None = None
) -> bool:
    """Prints a figure against its target; returns whether it is reached."""
    wanted = f"at least {at_least}" if at_least is not None else f"at most {at_most}"
    reached = value >= at_least if at_least is not None else value <= (at_most or 0.0)
    print(f"{name}: {value:.4g} (target: {wanted}) {'ok' if reached else 'MISSED'}")
    return reached


def leave(*reached: bool) -> None:
    """Exits with 1 if a target was missed."""
    sys.exit(0 if all(reached) else 1)


def write_llama(folder: Path, *, vocabulary: int, hidden: int, layers: int, longest: int) -> None:
    """Writes the config of a small Llama with heads of 64."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        # Llama's own proportion of 8/3, in whole 32s.
        "intermediate_size": hidden * 8 // 3 // 32 * 32,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden // 64),
        "num_key_value_heads": max(1, hidden // 64),
        "max_position_embeddings": longest,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
