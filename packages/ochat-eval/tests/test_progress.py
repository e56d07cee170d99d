from __future__ import annotations

import io

from ochat_eval import Status
from ochat_eval.progress import Progress


def test_the_line_tells_done_total_accuracy_rate_and_time_left() -> None:
    progress = Progress(io.StringIO(), total=100, done=20)
    for status in (Status.CORRECT, Status.CORRECT, Status.INCORRECT, Status.UNPARSED, Status.ERROR):
        progress.add(status, 20)
    assert progress.line(seconds=5) == (
        "25/100 | accuracy 50.0% | unparsed or cut 1 | errors 1 | 1.0/s, 20 tokens/s | 1:15 left"
    )


def test_a_stream_that_is_no_terminal_gets_whole_lines_without_control_characters() -> None:
    stream = io.StringIO()
    progress = Progress(stream, total=1)
    progress.add(Status.CORRECT)
    progress.finish()
    assert stream.getvalue().startswith("1/1 | accuracy 100.0%")
    assert stream.getvalue().endswith("left\n")
