from __future__ import annotations

import json
from pathlib import Path

import pytest

from ochat_train import OutputError
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


@pytest.mark.parametrize("damaged", [b'{"event": "tr\n', b"\xff\n", b"[]\n", b'{"step": null}\n'])
def test_the_log_is_cut_at_a_damaged_line(tmp_path: Path, damaged: bytes) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"event": "train", "step": 1})
    with log.path.open("ab") as file:
        file.write(damaged)
    log.write({"event": "train", "step": 2})
    log.cut_after(5)
    assert log.path.read_text() == '{"event": "train", "step": 1}\n'


def test_a_disk_that_refuses_events_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        MetricsLog(tmp_path / "missing" / "metrics.jsonl").write({"event": "train", "step": 1})


def test_a_run_without_events_has_nothing_to_cut(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.cut_after(0)
    assert not log.path.exists()
