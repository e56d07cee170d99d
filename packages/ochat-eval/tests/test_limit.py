from __future__ import annotations

from ochat_eval.limit import Limit


def test_the_limit_doubles_each_round_until_the_server_refuses() -> None:
    limit = Limit(most=1000, first=4)
    for _ in range(4):
        limit.succeed()
    assert limit.allowed == 8
    for _ in range(8):
        limit.succeed()
    assert limit.allowed == 16


def test_a_burst_of_refusals_halves_once_and_growth_is_gentle_afterwards() -> None:
    limit = Limit(most=1000, first=64)
    for _ in range(64):
        limit.throttle()
    assert limit.allowed == 32
    for _ in range(32):
        limit.succeed()
    assert limit.allowed == 32
    limit.succeed()
    assert limit.allowed == 33


def test_refusals_of_the_next_round_halve_again() -> None:
    limit = Limit(most=1000, first=4)
    for _ in range(8):
        limit.throttle()
    assert limit.allowed == 1


def test_the_limit_stays_between_one_and_the_most() -> None:
    limit = Limit(most=3)
    for _ in range(10):
        limit.succeed()
    assert limit.allowed == 3
    for _ in range(20):
        limit.throttle()
    assert limit.allowed == 1
