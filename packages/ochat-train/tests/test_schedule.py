from __future__ import annotations

import pytest

from ochat_train.schedule import CosineSchedule


def test_warms_up_linearly_then_falls_to_the_minimum_at_the_last_step() -> None:
    rate = CosineSchedule(peak=1.0, total_steps=15, warmup_steps=4, min_ratio=0.1)
    assert [rate(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert rate(4) == 1.0
    assert rate(9) == pytest.approx(0.55)
    assert rate(14) == pytest.approx(0.1)
    assert all(rate(step) > rate(step + 1) for step in range(4, 14))


def test_the_default_warm_up_is_five_percent() -> None:
    rate = CosineSchedule(peak=1.0, total_steps=100)
    assert rate(4) == 1.0
    assert rate(3) < 1.0


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, None), (2, 1), (3, 10)])
def test_short_runs_have_a_rate_for_every_step(total: int, warmup: int | None) -> None:
    rate = CosineSchedule(peak=1.0, total_steps=total, warmup_steps=warmup)
    assert all(0.0 < rate(step) <= 1.0 for step in range(total))
