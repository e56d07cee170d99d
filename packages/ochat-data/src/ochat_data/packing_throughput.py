"""The packer for throughput: fuller and more even batches than the stream's, at a price.

Sorts within windows of many steps and lets a step hold batches of about the same cost, so that no
rank waits for another even where a batch holds a single longest sequence. The price: steps are no
longer like random draws (all long or all short), which `packing`'s default avoids.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Steps that are sorted together: more fill better and mix less.
_WINDOW_STEPS = 64
_FEWEST_IN_WINDOW = 4096
# A batch with at most this share of its capacity free is finished; others wait for more examples.
_MOST_FREE = 0.002


def pack_throughput(
    sizes: NDArray[np.int64],
    *,
    capacity: int,
    world_size: int,
    quadratic_cost: float,
    draws: np.random.Generator,
) -> tuple[NDArray[np.int64], int]:
    """Packs a shuffled stream window by window.

    Args:
        sizes: Tokens of each position of the stream, int64 `(examples,)`.
        capacity: Most tokens in a batch.
        world_size: Batches in a step.
        quadratic_cost: Cost of a token pair relative to a token.
        draws: Shuffles the steps of a window.

    Returns:
        The slot (step * world_size + rank) of each position, and the number of steps.
    """
    slots = np.full(len(sizes), -1, dtype=np.int64)
    if not len(sizes):
        return slots, 0
    mean = float(sizes.mean())
    window = max(_FEWEST_IN_WINDOW, int(_WINDOW_STEPS * world_size * capacity / mean))
    waiting = np.empty(0, dtype=np.int64)
    steps = 0
    for start in range(0, len(sizes), window):
        fresh = np.arange(start, min(start + window, len(sizes)))
        positions = np.concatenate([waiting, fresh])
        last = start + window >= len(sizes)
        batches = _best_fit(positions, sizes, capacity)
        chosen = _finished(batches, sizes, capacity, world_size, everything=last)
        costs = np.array([_cost(sizes[batch], quadratic_cost) for batch in chosen])
        by_cost = np.argsort(-costs, kind="stable")
        full = len(chosen) // world_size
        # A last, incomplete step holds the cheapest batches and stays at the end.
        order = [*draws.permutation(full).tolist(), *([full] if len(chosen) % world_size else [])]
        for step in order:
            members = by_cost[step * world_size : (step + 1) * world_size]
            for rank, member in enumerate(draws.permutation(members)):
                slots[chosen[member]] = steps * world_size + rank
            steps += 1
        waiting = positions[slots[positions] < 0]
    return slots, steps


def _best_fit(
    positions: NDArray[np.int64], sizes: NDArray[np.int64], capacity: int
) -> list[list[int]]:
    """Best-fit decreasing: the longest first, each into the fullest batch that has room."""
    batches: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, batch), sorted
    for position in positions[np.argsort(-sizes[positions], kind="stable")].tolist():
        size = int(sizes[position])
        place = bisect_left(room, (size, -1))
        if place == len(room):
            free, batch = capacity, len(batches)
            batches.append([])
        else:
            free, batch = room.pop(place)
        batches[batch].append(position)
        if free > size:
            insort(room, (free - size, batch))
    return batches


def _finished(
    batches: list[list[int]],
    sizes: NDArray[np.int64],
    capacity: int,
    world_size: int,
    *,
    everything: bool,
) -> list[list[int]]:
    """The batches that are trained now: whole steps of the fullest ones, or all at the end."""
    if everything:
        return batches
    free = np.array([capacity - int(sizes[batch].sum()) for batch in batches])
    ready = int((free <= _MOST_FREE * capacity).sum())
    # At least one step a window, so that a stream of odd lengths cannot pile up.
    steps = max(ready // world_size, min(1, len(batches) // world_size))
    fullest = np.argsort(free, kind="stable")[: steps * world_size]
    return [batches[index] for index in sorted(fullest.tolist())]


def _cost(sizes: NDArray[np.int64], quadratic: float) -> float:
    return float(sizes.sum() + quadratic * (sizes * sizes).sum())
