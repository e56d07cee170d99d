from __future__ import annotations

from collections.abc import Callable

from ochat_data import Record
from ochat_data.inspection import TokenRun, record_lines, token_lines, token_runs
from ochat_templates import Codec


def test_runs_end_where_the_weight_changes() -> None:
    runs = token_runs([1, 2, 3, 4], [0.0, 0.0, 1.0, 0.5])
    assert runs == [
        TokenRun(start=0, ids=(1, 2), weight=0.0),
        TokenRun(start=2, ids=(3,), weight=1.0),
        TokenRun(start=3, ids=(4,), weight=0.5),
    ]
    assert token_runs([], []) == []


def test_tokens_are_shown_as_text_with_control_tokens_by_name(
    codec: Codec, talk: Callable[..., Record]
) -> None:
    encoded = codec.encode(talk("Hi", "a\nb \U0001f642", condition="GPT3", weight=0.1).conversation)
    lines = list(token_lines(token_runs(encoded.ids, encoded.weights()), codec, colour=False))
    question, answer = (line.replace("|", "") for line in lines)
    assert "weight 0 " in question
    assert "<s>GPT3 User: Hi<end_of_turn> GPT3 Assistant:" in question
    assert "weight 0.1 " in answer
    assert answer.endswith("a\\nb \U0001f642<end_of_turn>")


def test_without_a_codec_ids_are_shown() -> None:
    lines = list(token_lines(token_runs([7, 8], [1.0, 1.0]), None, colour=False))
    assert lines[0].endswith("weight 1      7 8")


def test_colour_tells_what_is_learnt() -> None:
    context, answer = token_lines(token_runs([7, 8], [0.0, 1.0]), None, colour=True)
    assert context.endswith("\x1b[2m7\x1b[0m")
    assert answer.endswith("\x1b[32m8\x1b[0m")


def test_a_record_shows_the_weight_of_each_message(talk: Callable[..., Record]) -> None:
    lines = list(record_lines(talk("Hi", "Hello", condition="GPT3", weight=0.1)))
    assert "condition  GPT3" in lines
    assert lines[-5:] == ["user (weight 0)", "Hi", "", "assistant (weight 0.1)", "Hello"]
