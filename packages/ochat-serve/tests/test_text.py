"""Stop strings and decoding, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochat_serve.chat.text import AnswerText, StopScanner
from ochat_templates import Codec


def scan(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    scanner = StopScanner(stops)
    shown = ""
    for piece in pieces:
        text, stopped = scanner.push(piece)
        shown += text
        if stopped:
            return shown, True
    return shown + scanner.finish(), False


def cut(text: str, stops: list[str]) -> tuple[str, bool]:
    ends = [text.index(stop) for stop in stops if stop in text]
    return (text[: min(ends)], True) if ends else (text, False)


@given(
    st.lists(st.text("ab", max_size=4), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=3),
)
def test_text_sent_ends_where_the_first_stop_string_begins(
    pieces: list[str], stops: list[str]
) -> None:
    shown, stopped = scan(pieces, stops)
    text = "".join(pieces)
    # Scanning piece by piece may stop at a shorter match before a longer, earlier one completes.
    expected, found = cut(text, stops)
    assert stopped == found
    if len(stops) <= 1:
        assert shown == expected
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)


def test_text_that_may_become_a_stop_string_is_held_back() -> None:
    scanner = StopScanner(["###"])
    assert scanner.push("a#") == ("a", False)
    assert scanner.push("#b") == ("##b", False)
    assert scanner.push("##") == ("", False)
    assert scanner.push("#c") == ("", True)


def test_held_back_text_is_given_at_the_end() -> None:
    scanner = StopScanner(["END"])
    assert scanner.push("the EN") == ("the ", False)
    assert scanner.finish() == "EN"


def test_only_the_formats_leading_space_is_removed(codec: Codec) -> None:
    ids = codec.encode_text(" two spaces")
    text = AnswerText(codec)
    assert "".join(text.push([i])[0] for i in ids) + text.finish()[0] == " two spaces"


def test_a_continued_answer_keeps_the_space_that_follows_it(codec: Codec) -> None:
    text = AnswerText(codec, continued="Hello")
    shown, _ = text.push(codec.encode_text("world"))
    assert shown == " world"


@pytest.mark.parametrize(("skip", "expected"), [(True, "ab"), (False, "a<|end_of_turn|>b")])
def test_control_tokens_have_text_only_when_asked_for(
    codec: Codec, skip: bool, expected: str
) -> None:
    a, b = codec.encode_text("a")[-1], codec.encode_text("b")[-1]
    text = AnswerText(codec, skip_special_tokens=skip)
    assert text.push([a, codec.eot_id, b])[0].replace(" ", "") == expected


def test_a_character_of_several_tokens_is_never_sent_in_halves(codec: Codec) -> None:
    text = AnswerText(codec)
    pieces = [text.push([i])[0] for i in codec.encode_text("ok 🙂!")]
    assert "".join(pieces) == "ok 🙂!"
    assert not any("\ufffd" in piece for piece in pieces)
