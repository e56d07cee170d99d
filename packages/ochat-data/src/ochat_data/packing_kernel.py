"""The packer of `packing` compiled by numba: the same plan, several times faster.

Follows `packing._Packer` step by step; a plan must not depend on whether numba is installed, which
`tests/test_packing.py` holds both against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Ints = NDArray[np.int64]
    _Floats = NDArray[np.float64]


@njit(cache=True)
def _below(costs: _Floats, ranks: _Ints, one: int, other: int) -> bool:
    """Whether one entry of a heap comes before another: the lesser cost, then the lesser rank."""
    if costs[one] != costs[other]:
        return costs[one] < costs[other]
    return ranks[one] < ranks[other]


@njit(cache=True)
def _swap(costs: _Floats, ranks: _Ints, one: int, other: int) -> None:
    costs[one], costs[other] = costs[other], costs[one]
    ranks[one], ranks[other] = ranks[other], ranks[one]


@njit(cache=True)
def _push(costs: _Floats, ranks: _Ints, size: int, cost: float, rank: int) -> None:
    """Adds an entry to a heap of `size` entries."""
    costs[size] = cost
    ranks[size] = rank
    place = size
    while place > 0:
        parent = (place - 1) // 2
        if not _below(costs, ranks, place, parent):
            break
        _swap(costs, ranks, place, parent)
        place = parent


@njit(cache=True)
def _drop_top(costs: _Floats, ranks: _Ints, size: int) -> None:
    """Removes the first entry of a heap of `size` entries."""
    last = size - 1
    _swap(costs, ranks, 0, last)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= last:
            break
        if child + 1 < last and _below(costs, ranks, child + 1, child):
            child += 1
        if not _below(costs, ranks, child, place):
            break
        _swap(costs, ranks, child, place)
        place = child


@njit(cache=True)
def _insert(window: _Ints, size: int, key: int) -> None:
    """Puts a key where it belongs in a sorted window of `size` keys."""
    place = np.searchsorted(window[:size], key)
    for index in range(size, place, -1):
        window[index] = window[index - 1]
    window[place] = key


@njit(cache=True)
def _remove(window: _Ints, size: int, place: int) -> None:
    for index in range(place, size - 1):
        window[index] = window[index + 1]


@njit(cache=True)
def _deal(
    dealt: _Ints,
    sizes: _Ints,
    free: _Ints,
    slots: _Ints,
    first_slot: int,
    quadratic: float,
    misfits: _Ints,
) -> int:
    """Longest first, each to the least loaded rank with room; returns how many had none."""
    world_size = len(free)
    costs = np.zeros(world_size)
    ranks = np.arange(world_size)
    entries = world_size
    full_costs, full_ranks = np.empty(world_size), np.empty(world_size, np.int64)
    missing = 0
    for index in np.argsort(-sizes[dealt], kind="mergesort"):
        position = dealt[index]
        size = sizes[position]
        full = 0
        while entries and free[ranks[0]] < size:
            full_costs[full], full_ranks[full] = costs[0], ranks[0]
            full += 1
            _drop_top(costs, ranks, entries)
            entries -= 1
        if entries:
            cost, rank = costs[0], ranks[0]
            _drop_top(costs, ranks, entries)
            entries -= 1
            slots[position] = first_slot + rank
            free[rank] -= size
            _push(costs, ranks, entries, cost + size + quadratic * size * size, rank)
            entries += 1
        else:
            misfits[missing] = position
            missing += 1
        for entry in range(full):
            _push(costs, ranks, entries, full_costs[entry], full_ranks[entry])
            entries += 1
    return missing


@njit(cache=True)
def _fill(
    window: _Ints, size: int, free: _Ints, sizes: _Ints, slots: _Ints, first_slot: int
) -> int:
    """Gives each rank in turn the longest waiting example that fits; returns the window's size."""
    count = len(sizes)
    open_ranks = np.arange(len(free))
    waiting = len(free)
    while waiting:
        still = 0
        for index in range(waiting):
            rank = open_ranks[index]
            key = (free[rank] + 1) * count - 1
            place = np.searchsorted(window[:size], key, side="right") - 1
            if place >= 0:
                position = count - 1 - window[place] % count
                _remove(window, size, place)
                size -= 1
                slots[position] = first_slot + rank
                free[rank] -= sizes[position]
                open_ranks[still] = rank
                still += 1
        waiting = still
    return size


@njit(cache=True)
def _run(
    sizes: _Ints, capacity: int, world_size: int, look_ahead: int, share: float, quadratic: float
) -> tuple[_Ints, int]:
    count = len(sizes)
    slots = np.full(count, -1, np.int64)
    window = np.empty(look_ahead + count // 8 + 4096, np.int64)
    window_size = cursor = frontier = steps = 0
    backlog = np.empty(0, np.int64)
    dealt = np.empty(count, np.int64)
    misfits = np.empty(count, np.int64)
    while True:
        budget = world_size * capacity * share
        taken = 0
        for index in range(len(backlog)):
            position = int(backlog[index])
            if slots[position] < 0:
                window_size = _take(window, window_size, sizes, position, frontier)
                dealt[taken] = position
                taken += 1
                budget -= sizes[position]
        while cursor < count:
            if slots[cursor] < 0:
                if taken and sizes[cursor] > budget:
                    break
                window_size = _take(window, window_size, sizes, cursor, frontier)
                dealt[taken] = cursor
                taken += 1
                budget -= sizes[cursor]
            cursor += 1
        frontier = max(frontier, cursor)
        if not taken:
            return slots, steps
        free = np.full(world_size, capacity)
        first_slot = steps * world_size
        missing = _deal(dealt[:taken], sizes, free, slots, first_slot, quadratic, misfits)
        if window_size + missing + look_ahead > len(window):
            larger = np.empty(2 * (window_size + missing + look_ahead), np.int64)
            larger[:window_size] = window[:window_size]
            window = larger
        for index in range(missing):
            position = misfits[index]
            _insert(window, window_size, sizes[position] * count + count - 1 - position)
            window_size += 1
        backlog = np.sort(misfits[:missing])
        while window_size < look_ahead and frontier < count:
            _insert(window, window_size, sizes[frontier] * count + count - 1 - frontier)
            window_size += 1
            frontier += 1
        window_size = _fill(window, window_size, free, sizes, slots, first_slot)
        steps += 1


@njit(cache=True)
def _take(window: _Ints, size: int, sizes: _Ints, position: int, frontier: int) -> int:
    """Takes a position out of the window if it is in it; returns the window's size."""
    if position >= frontier:
        return size
    count = len(sizes)
    place = np.searchsorted(window[:size], sizes[position] * count + count - 1 - position)
    _remove(window, size, place)
    return size - 1


def pack_slots(
    sizes: NDArray[np.int64],
    *,
    capacity: int,
    world_size: int,
    look_ahead: int,
    dealt_share: float,
    quadratic_cost: float,
) -> tuple[NDArray[np.int64], int]:
    """The slot (step * world_size + rank) of each position, and the number of steps."""
    slots, steps = _run(sizes, capacity, world_size, look_ahead, dealt_share, quadratic_cost)
    return slots, int(steps)
