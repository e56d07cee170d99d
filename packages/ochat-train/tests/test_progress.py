from __future__ import annotations

import io
import re

import pytest

from ochat_train.progress import Progress, StepFigures, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:  # pyrefly: ignore[missing-override-decorator]
        return True


def _figures(step: int, loss: float | None = 1.2345) -> StepFigures:
    return StepFigures(
        step=step,
        total_steps=4,
        epoch=1,
        epochs=2,
        loss=loss,
        supervised_per_second=12345.6,
        fill=0.9876,
        mfu=0.421,
        seconds_left=75.2,
    )


def test_a_terminal_gets_one_line_that_renews_itself() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.update(_figures(1, None))
    progress.update(_figures(4))
    progress.say("done")
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert text.count("\r") == 2
    last = text.split("\r")[-1]
    assert (
        "4/4 epoch 1/2 loss 1.2345 12,346 supervised tok/s MFU 42.1% fill 98.8% left 1:15" in last
    )
    assert "░" not in last
    assert last.endswith("done\n")


def test_a_log_file_gets_whole_lines_now_and_then_and_the_last_one() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for step in (1, 2, 3, 4):
        progress.update(_figures(step))
    lines = stream.getvalue().splitlines()
    assert [re.split("/", line)[0] for line in lines] == ["1", "4"]
    assert "\r" not in stream.getvalue()


def test_quiet_is_silent() -> None:
    stream = Terminal()
    progress = Progress(stream, quiet=True)
    progress.update(_figures(4))
    progress.say("done")
    progress.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3723, "1:02:03")]
)
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
