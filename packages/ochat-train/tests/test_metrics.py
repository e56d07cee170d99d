from __future__ import annotations

import json
from pathlib import Path

from ochat_train.metrics import MetricsLog


def test_events_of_later_steps_are_dropped_for_a_resumed_run(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"event": "train", "step": 1}, {"event": "train", "step": 2})
    log.write({"event": "eval", "step": 2}, {"event": "train", "step": 3})
    log.cut_after(2)
    log.write({"event": "train", "step": 3})
    events = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(event["event"], event["step"]) for event in events] == [
        ("train", 1),
        ("train", 2),
        ("eval", 2),
        ("train", 3),
    ]


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"event": "train", "step": 1})
    with log.path.open("a") as file:
        file.write('{"event": "tr')
    log.cut_after(5)
    assert log.path.read_text() == '{"event": "train", "step": 1}\n'


def test_a_run_without_events_has_nothing_to_cut(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.cut_after(0)
    assert not log.path.exists()
