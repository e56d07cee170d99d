"""Packing a million conversations: ours with and without numba, against TRL's best-fit-decreasing.

Both distributions of the packing tables, 8 and 64 ranks, four times the longest conversation a rank
and step. The plan is what `ochat-train` trains by, `ochat_data.plan_batches`; seconds are CPU time
after a first call that compiles. TRL packs rows of the longest length, four of which make a rank's
batch; its rows are shuffled, as its trainer does, and a last incomplete step is dropped. It is
called on the whole table at once (`_pack_bfd`), without `datasets.map`, which would be slower.

    python benchmarks/packing.py          in an environment with numba, and TRL if it is to be
                                          compared with: see against_trl.py
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import numpy as np
from bench import DISTRIBUTIONS, Distribution, announce, installed, leave, parser, verdict

import ochat_data.packing
from ochat_data import PackPlan, PackStatistics, pack_statistics, plan_batches

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One packer's plan, measured."""

    name: str
    seconds: float
    figures: PackStatistics


def timed(plan: Callable[[], PackPlan], lengths: np.ndarray, name: str) -> Packed:
    """Runs a packer once."""
    started = time.process_time()
    made = plan()
    seconds = time.process_time() - started
    return Packed(name=name, seconds=seconds, figures=pack_statistics(made, lengths))


def ours(lengths: np.ndarray, capacity: int, ranks: int, *, numba: bool) -> Packed:
    """Our plan; without numba by hiding it from the packer."""

    def plan() -> PackPlan:
        return plan_batches(lengths, capacity=capacity, world_size=ranks)

    if numba:
        plan_batches(lengths[:60_000], capacity=capacity, world_size=ranks)  # compiles
        return timed(plan, lengths, "ochat-data, numba")
    with patch.object(ochat_data.packing, "find_spec", return_value=None):
        return timed(plan, lengths, "ochat-data, plain Python")


def trl_rows(lengths: np.ndarray, longest: int) -> tuple[list[np.ndarray], float]:
    """TRL's rows, each with the lengths it holds, and the CPU seconds."""
    arrow, trl = (cast("Any", import_module(name)) for name in ("pyarrow", "trl.data_utils"))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    # One byte a token: what the tokens are does not matter to a packer, how many there are does.
    ids = arrow.ListArray.from_arrays(offsets, arrow.array(np.zeros(offsets[-1], np.int8)))
    table = arrow.table({"input_ids": ids})
    started = time.process_time()
    packed = trl._pack_bfd(table, longest)
    seconds = time.process_time() - started
    column = packed["seq_lengths"].combine_chunks()
    flat, borders = column.values.to_numpy(), column.offsets.to_numpy()
    return np.split(flat, borders[1:-1]), seconds


def trl_plan(rows: list[np.ndarray], longest: int, ranks: int) -> tuple[PackPlan, np.ndarray]:
    """TRL's rows dealt to ranks, as a plan over lengths in that order."""
    order = np.random.default_rng(0).permutation(len(rows))
    steps = len(rows) // (ROWS * ranks)
    used = [rows[int(i)] for i in order[: steps * ROWS * ranks]]
    counts = np.add.reduceat([len(row) for row in used], np.arange(0, len(used), ROWS))
    lengths = np.concatenate(used)
    plan = PackPlan(
        steps=steps,
        world_size=ranks,
        capacity=ROWS * longest,
        indices=np.arange(len(lengths)),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )
    return plan, lengths


def show(packed: Packed, ranks: int, dropped: int) -> None:
    """One line of the table."""
    figures = packed.figures
    print(
        f"{ranks:6} {packed.name:26}{figures.fill or 0:9.4%}{figures.cost_imbalance or 0:8.4f}"
        f"{figures.homogeneity or 0:8.3f}{dropped:9}{packed.seconds:9.2f}"
    )


def compare(distribution: Distribution, count: int) -> list[bool]:
    """All packers on one distribution."""
    lengths = distribution.draw(count)
    capacity = ROWS * distribution.longest
    print(f"\n{distribution.name}: {count} conversations, capacity {capacity}")
    print(
        f"{'ranks':>6} {'packer':26}{'fill':>9}{'cost':>8}{'homog.':>8}{'dropped':>9}{'CPU s':>9}"
    )
    reached: list[bool] = []
    rows: list[np.ndarray] = []
    seconds = 0.0
    if installed("trl"):
        rows, seconds = trl_rows(lengths, distribution.longest)
    for ranks in (8, 64):
        sides = [ours(lengths, capacity, ranks, numba=False)]
        if installed("numba"):
            sides.insert(0, ours(lengths, capacity, ranks, numba=True))
        for packed in sides:
            show(packed, ranks, packed.figures.dropped)
        if rows:
            plan, of_rows = trl_plan(rows, distribution.longest, ranks)
            figures = pack_statistics(plan, of_rows)
            theirs = Packed(name="TRL bfd", seconds=seconds, figures=figures)
            show(theirs, ranks, count - len(of_rows))
        reached += judge(sides[0], ranks)
    return reached


def judge(best: Packed, ranks: int) -> list[bool]:
    """Our figures against the targets."""
    figures, label = best.figures, f"{ranks} ranks,"
    return [
        verdict(f"{label} fill", figures.fill or 0.0, at_least=0.999),
        verdict(f"{label} cost imbalance", figures.cost_imbalance or 9.0, at_most=1.08),
        verdict(f"{label} homogeneity", figures.homogeneity or 0.0, at_least=0.85),
        verdict(f"{label} homogeneity", figures.homogeneity or 9.0, at_most=1.15),
        verdict(f"{label} dropped", figures.dropped, at_most=0),
        verdict(f"{label} seconds", best.seconds, at_most=1.0),
    ]


def main() -> None:
    """Compares on both distributions."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--count", type=int, default=1_000_000, help="default: %(default)s")
    given = options.parse_args()
    announce("numpy", "numba", "trl")
    print("cost: mean over steps of max/mean over ranks of the sum of length squared; homog.: 1 is")
    print("like random batches, above 1 is sorted; dropped: conversations that no step trains")
    leave(*[ok for each in DISTRIBUTIONS for ok in compare(each, given.count)])


if __name__ == "__main__":
    main()
