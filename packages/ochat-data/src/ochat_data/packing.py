"""Decides which examples share a batch, on which rank and in which step, for one epoch.

Sees lengths only, so it never loads a token; the same arguments give the same plan on every
machine, which is why the ranks of a training run need not talk about it. How good a plan is,
`pack_statistics` says.

Legend: a *step* is one optimiser step of `world_size` batches; a *position* is an example's place
in the shuffled stream of the epoch; *cost* is the time model tokens + c * tokens^2.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from .errors import PackingError
from .packing_throughput import pack_throughput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PackingMode = Literal["random", "throughput"]

# The share of a step that is dealt out in stream order; what is left over is filled by best fit.
# 98.5 % leaves gaps that sequences of ordinary length can still close.
_DEALT_SHARE = 0.985
# Attention's share of a sequence's time: tokens + 2e-5 * tokens^2, fitted to a 7B Llama.
_QUADRATIC_COST = 2e-5
# Fewer examples than this are packed sooner than a compiler is loaded.
_WORTH_COMPILING = 50_000
# More ranks than any machine has; a plan keeps a few numbers for each.
_MOST_RANKS = 1_000_000
# How many waiting examples the best fit may choose from. More fills better, and mixes epochs less.
_MIN_LOOK_AHEAD, _MAX_LOOK_AHEAD = 256, 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackPlan:
    """The batches of one epoch: every example exactly once.

    Attributes:
        steps: Number of steps, the last and usually shorter one included.
        world_size: Batches in a step.
        capacity: Most tokens in a batch.
        indices: int64 `(examples,)`, example indices in the order of their batches.
        offsets: int64 `(steps * world_size + 1,)`, where each batch begins in `indices`.
    """

    steps: int
    world_size: int
    capacity: int
    indices: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def batch(self, step: int, rank: int) -> NDArray[np.int64]:
        """The example indices of one rank in one step.

        Empty only in the last step, when fewer examples than ranks are left.

        Raises:
            PackingError: There is no such step or rank.
        """
        if not (0 <= step < self.steps and 0 <= rank < self.world_size):
            raise PackingError(
                f"no batch for step {step}, rank {rank}: the plan has {self.steps} steps "
                f"of {self.world_size} ranks, counted from 0"
            )
        slot = step * self.world_size + rank
        return self.indices[self.offsets[slot] : self.offsets[slot + 1]]


def plan_batches(
    lengths: ArrayLike,
    *,
    capacity: int,
    world_size: int = 1,
    seed: int = 0,
    epoch: int = 0,
    mode: PackingMode = "random",
) -> PackPlan:
    """Packs one epoch: every example once, no batch above capacity, nothing dropped.

    Each step takes the next examples of a shuffled stream, so steps look like random draws. The
    longest go first, each to the rank with the least work that still has room, which evens out
    attention's quadratic cost; the gaps that remain are filled by best fit from a bounded
    look-ahead. Time O(n log n) whatever the number of ranks.

    Args:
        lengths: Tokens of each example, integers `(examples,)`, all at least 1.
        capacity: Most tokens in one batch (one rank, one step).
        world_size: Number of ranks.
        seed: Seed of the shuffle; with `epoch` it determines the plan completely.
        epoch: Each epoch is shuffled and packed anew.
        mode: `random` keeps steps like random draws; `throughput` sorts within windows, which
            evens out the ranks even where the capacity is that of one longest example, but makes
            steps of only long or only short examples.

    Raises:
        PackingError: An example is longer than the capacity, or an argument makes no sense.
    """
    if capacity < 1 or world_size < 1:
        raise PackingError(
            f"capacity and world_size must be at least 1, got {capacity} and {world_size}"
        )
    if world_size > _MOST_RANKS:
        raise PackingError(
            f"world_size may be at most {_MOST_RANKS:,}, got {world_size:,}; give the number of "
            "processes that train"
        )
    if seed < 0 or epoch < 0:
        raise PackingError(f"seed and epoch must not be negative, got {seed} and {epoch}")
    if mode not in get_args(PackingMode):
        raise PackingError(f"no packing {mode!r}; choose {' or '.join(get_args(PackingMode))}")
    sizes = check_lengths(lengths, capacity)
    draws = np.random.default_rng([seed, epoch])
    permutation = draws.permutation(len(sizes))
    if mode == "throughput":
        slots, steps = pack_throughput(
            sizes[permutation],
            capacity=capacity,
            world_size=world_size,
            quadratic_cost=_QUADRATIC_COST,
            draws=draws,
        )
    else:
        slots, steps = _pack(sizes[permutation], capacity, world_size)
    order = np.argsort(slots, kind="stable")
    counts = np.bincount(slots, minlength=steps * world_size)
    return PackPlan(
        steps=steps,
        world_size=world_size,
        capacity=capacity,
        indices=permutation[order].astype(np.int64),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def check_lengths(lengths: ArrayLike, capacity: int) -> NDArray[np.int64]:
    """Returns the lengths as int64 `(examples,)`, or says which one cannot be packed."""
    sizes = np.asarray(lengths)
    if sizes.ndim != 1 or (sizes.size and sizes.dtype.kind not in "iu"):
        raise PackingError(
            f"lengths must be a one-dimensional array of integers, not {sizes.dtype} "
            f"of shape {sizes.shape}"
        )
    sizes = sizes.astype(np.int64)
    if sizes.size and sizes.min() < 1:
        worst = int(sizes.argmin())
        raise PackingError(f"example {worst} has length {sizes[worst]}; it must be at least 1")
    if sizes.size and sizes.max() > capacity:
        worst = int(sizes.argmax())
        raise PackingError(
            f"example {worst} has {sizes[worst]} tokens, more than the capacity of {capacity}; "
            f"raise the capacity, or tokenize again with --max-length {capacity}"
        )
    return sizes


def _pack(
    sizes: NDArray[np.int64], capacity: int, world_size: int
) -> tuple[NDArray[np.int64], int]:
    """The slot of each position and the number of steps, by numba where it is installed."""
    look_ahead = _look_ahead(sizes, capacity, world_size)
    # Compiled or not, the plan is the same; small ones are not worth loading a compiler for.
    if len(sizes) >= _WORTH_COMPILING and find_spec("numba") is not None:
        from .packing_kernel import pack_slots

        return pack_slots(
            sizes,
            capacity=capacity,
            world_size=world_size,
            look_ahead=look_ahead,
            dealt_share=_DEALT_SHARE,
            quadratic_cost=_QUADRATIC_COST,
        )
    packer = _Packer(sizes.tolist(), capacity, world_size, look_ahead)
    return np.asarray(packer.run(), dtype=np.int64), packer.steps


def _look_ahead(sizes: NDArray[np.int64], capacity: int, world_size: int) -> int:
    mean = sizes.mean() if len(sizes) else 1.0
    return max(_MIN_LOOK_AHEAD, min(_MAX_LOOK_AHEAD, int(world_size * capacity / mean)))


class _Packer:
    """The stream of one epoch while it is dealt out to steps.

    `window` holds the examples that best fit may choose from as sorted integers that encode
    (length, earliest position last), so that the largest one below a gap is one bisection away
    and, among equals, the one that has waited longest.
    """

    def __init__(self, sizes: list[int], capacity: int, world_size: int, look_ahead: int) -> None:
        self.sizes = sizes
        self.capacity = capacity
        self.world_size = world_size
        self.count = len(sizes)
        self.slots = [-1] * self.count  # step * world_size + rank of each position
        self.steps = 0
        self.backlog: list[int] = []  # positions before the cursor that are still waiting
        self.cursor = 0
        self.window: list[int] = []
        self.frontier = 0  # first position that has never been in the window
        self.look_ahead = look_ahead

    def run(self) -> list[int]:
        """Deals out everything; returns the slot of each position."""
        while True:
            dealt = self._take_from_stream()
            if not dealt:
                return self.slots
            free = [self.capacity] * self.world_size
            self._return_to_stream(self._deal(dealt, free))
            self._fill_gaps(free)
            self.steps += 1

    def _take_from_stream(self) -> list[int]:
        """Takes the next positions up to the dealt share of a step, at least one."""
        budget = self.world_size * self.capacity * _DEALT_SHARE
        taken: list[int] = []
        # The backlog comes out of one step's share, so it always fits into the next one's.
        for position in self.backlog:
            if self.slots[position] < 0:
                budget -= self._take(position, taken)
        while self.cursor < self.count:
            if self.slots[self.cursor] < 0:
                if taken and self.sizes[self.cursor] > budget:
                    break
                budget -= self._take(self.cursor, taken)
            self.cursor += 1
        self.frontier = max(self.frontier, self.cursor)
        return taken

    def _take(self, position: int, taken: list[int]) -> int:
        if position < self.frontier:
            del self.window[bisect_left(self.window, self._key(position))]
        taken.append(position)
        return self.sizes[position]

    def _deal(self, positions: list[int], free: list[int]) -> list[int]:
        """Longest first, each to the least loaded rank with room; returns what had none."""
        ranks = [(0.0, rank) for rank in range(self.world_size)]
        heapify(ranks)
        misfits: list[int] = []
        for position in sorted(positions, key=self.sizes.__getitem__, reverse=True):
            size = self.sizes[position]
            full: list[tuple[float, int]] = []
            while ranks and free[ranks[0][1]] < size:
                full.append(heappop(ranks))
            if ranks:
                cost, rank = heappop(ranks)
                self._place(position, rank, free)
                heappush(ranks, (cost + size + _QUADRATIC_COST * size * size, rank))
            else:
                misfits.append(position)
            for entry in full:
                heappush(ranks, entry)
        return misfits

    def _return_to_stream(self, misfits: list[int]) -> None:
        """Puts misfits back at the head of the stream and tops the window up."""
        for position in misfits:
            insort(self.window, self._key(position))
        self.backlog = sorted(misfits)
        while len(self.window) < self.look_ahead and self.frontier < self.count:
            insort(self.window, self._key(self.frontier))
            self.frontier += 1

    def _fill_gaps(self, free: list[int]) -> None:
        """Gives each rank in turn the longest waiting example that fits, until none does."""
        open_ranks = list(range(self.world_size))
        while open_ranks:
            still_open: list[int] = []
            for rank in open_ranks:
                place = bisect_right(self.window, (free[rank] + 1) * self.count - 1) - 1
                if place >= 0:
                    position = self.count - 1 - self.window.pop(place) % self.count
                    self._place(position, rank, free)
                    still_open.append(rank)
            open_ranks = still_open

    def _place(self, position: int, rank: int, free: list[int]) -> None:
        self.slots[position] = self.steps * self.world_size + rank
        free[rank] -= self.sizes[position]

    def _key(self, position: int) -> int:
        return self.sizes[position] * self.count + self.count - 1 - position
