from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ochat_train import EngineError
from ochat_train.broken_connection import watched
from ochat_train.heartbeat import Heartbeat, Ranks


class SharedStore:
    """A store of one process, which can be cut off."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.cut = False

    def set(self, key: str, value: str, /) -> None:
        self._wait_while_cut()
        self.values[key] = value.encode()

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        self._wait_while_cut()
        if any(key not in self.values for key in keys):
            raise RuntimeError("wait timeout")
        return [self.values[key] for key in keys]

    def _wait_while_cut(self) -> None:
        while self.cut:
            time.sleep(0.01)


def _rank(rank: int, store: SharedStore, lost: Callable[[str], None], seconds: float) -> Heartbeat:
    ranks = Ranks(rank=rank, world_size=2, server="10.0.0.1")
    return Heartbeat(store, ranks, seconds, lost)


def test_ranks_that_beat_are_not_lost_and_one_that_stops_is_named() -> None:
    store, told = SharedStore(), threading.Event()
    sentences: list[str] = []

    def lost(sentence: str) -> None:
        sentences.append(sentence)
        told.set()

    with _rank(0, store, lost, 3.0).listening():
        with _rank(1, store, lost, 3.0).listening():
            time.sleep(4)
            assert sentences == []
        assert told.wait(60)
    assert sentences[0].startswith("lost rank 1 (machine ")
    assert "start all ranks again with --resume" in sentences[0]


def test_a_machine_that_is_cut_off_says_that_the_meeting_place_does_not_answer() -> None:
    store, told = SharedStore(), threading.Event()
    sentences: list[str] = []

    def lost(sentence: str) -> None:
        sentences.append(sentence)
        told.set()

    with (
        _rank(0, store, lambda _: None, 2.0).listening(),
        _rank(1, store, lost, 2.0).listening(),
    ):
        time.sleep(0.5)
        store.cut = True
        assert told.wait(60)
        store.cut = False
    assert "10.0.0.1" in sentences[0]
    assert "cut off" in sentences[0]


def test_a_store_that_hangs_is_no_proof_against_the_other_ranks() -> None:
    store = SharedStore()
    ours, theirs = (_rank(rank, store, lambda _: None, 2.0) for rank in range(2))
    with ours.listening(), theirs.listening():
        time.sleep(1)
        store.cut = True
        time.sleep(1.5)
        assert ours.silent(1.0) == []
        store.cut = False


def _break(ours: Heartbeat, theirs: Heartbeat) -> None:
    """The other rank beats, ends, and the connection to it breaks."""
    with watched(ours):
        with theirs.listening():
            time.sleep(1)
        raise RuntimeError("[gloo] Connection closed by peer")


def test_a_broken_connection_names_the_rank_that_fell_silent() -> None:
    store = SharedStore()
    ours, theirs = (_rank(rank, store, lambda _: None, 8.0) for rank in range(2))
    with pytest.raises(EngineError, match=r"lost rank 1 \(machine .*Connection closed by peer"):
        _break(ours, theirs)


def test_an_error_that_is_no_broken_connection_stays_itself() -> None:
    ours = _rank(0, SharedStore(), lambda _: None, 2.0)
    with pytest.raises(RuntimeError, match="shapes do not fit"), watched(ours):
        raise RuntimeError("shapes do not fit")
