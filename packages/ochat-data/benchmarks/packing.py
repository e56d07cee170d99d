"""Plans for a million conversations: how full, how even, how random, and how long they take.

Both distributions of lengths are ShareGPT's, as measured: most below a thousand tokens, the longest
cut at 4,096 or 8,192. Batches hold four times the longest. With --ranks and --count other sizes.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec

import numpy as np
from sides import leave, verdict

from ochat_data import PackPlan, PackStatistics, pack_statistics, packing, plan_batches

DISTRIBUTIONS = {"ln4096": (6.65, 0.9, 4096), "lt8192": (6.45, 1.25, 8192)}


def lengths(name: str, count: int) -> np.ndarray:
    """Log-normal lengths, cut below at 16 and above at the context."""
    mean, deviation, longest = DISTRIBUTIONS[name]
    draws = np.random.default_rng(0).lognormal(mean, deviation, count)
    return np.clip(np.round(draws), 16, longest).astype(np.int64)


def timed(
    sizes: np.ndarray, capacity: int, ranks: int, *, rounds: int = 1
) -> tuple[PackPlan, float]:
    """The plan of the first epoch, and the least CPU time of the rounds."""
    best, plan = float("inf"), None
    for _ in range(rounds):
        started = time.process_time()
        plan = plan_batches(sizes, capacity=capacity, world_size=ranks, seed=1)
        best = min(best, time.process_time() - started)
    if plan is None:
        raise SystemExit("nothing was planned")
    return plan, best


def judge(figures: PackStatistics, seconds: float, *, compiled: bool) -> list[bool]:
    """Prints the figures of one plan against their targets."""
    if figures.cost_imbalance is None or figures.homogeneity is None or figures.fill is None:
        raise SystemExit("too few conversations for figures; give a greater --count")
    reached = [
        verdict("    fill", figures.fill, at_least=0.999),
        verdict("    dropped", figures.dropped, at_most=0),
        verdict("    cost imbalance", figures.cost_imbalance, at_most=1.08),
        verdict("    homogeneity", figures.homogeneity, at_least=0.85, at_most=1.15),
    ]
    if compiled:
        reached.append(verdict("    seconds of CPU", seconds, at_most=1.0))
    else:
        print(f"    seconds of CPU without numba: {seconds:.1f}")
    return reached


def main() -> None:
    """Plans, measures, prints."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=1_000_000, help="default: %(default)s")
    options.add_argument("--ranks", type=int, nargs="+", default=[8, 64], help="default: 8 64")
    arguments = options.parse_args()
    reached: list[bool] = []
    modes = [True, False] if find_spec("numba") else [False]
    if len(modes) == 1:
        print("left out: numba, which is not installed (pip install 'ochat-data[fast]')")
    worth = packing._WORTH_COMPILING
    for name in DISTRIBUTIONS:
        sizes = lengths(name, arguments.count)
        capacity = 4 * int(sizes.max())
        for ranks in arguments.ranks:
            for compiled in modes:
                vars(packing)["_WORTH_COMPILING"] = worth if compiled else sys.maxsize
                print(f"  {name}, {ranks} ranks of {capacity:,}, numba {compiled}", flush=True)
                if compiled:
                    timed(sizes[:100_000], capacity, ranks)  # compiles, or loads what was compiled
                rounds = 3 if compiled else 1
                plan, seconds = timed(sizes, capacity, ranks, rounds=rounds)
                reached += judge(pack_statistics(plan, sizes), seconds, compiled=compiled)
    leave(*reached)


if __name__ == "__main__":
    main()
