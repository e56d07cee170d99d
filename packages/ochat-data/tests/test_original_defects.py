"""Each defect of the original's cleaning, reproduced by its rule and absent from ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import Record
from ochat_data.cleaning import CleanOptions, clean_conversation
from ochat_data.deduplication import exact_digest
from ochat_data.language import conversation_language, open_detector
from ochat_templates import Conversation, Message

Talk = Callable[..., Record]
Command = Callable[..., tuple[int, str, str]]


def cleaned(question: str, answer: str = "An answer.") -> str:
    messages = (
        Message(role="user", content=question),
        Message(role="assistant", content=answer),
    )
    result = clean_conversation(Conversation(messages=messages))
    assert result.conversation is not None
    assert result.conversation.messages[1].content == answer
    return result.conversation.messages[0].content


def collapse(text: str) -> str:
    """What an HTML parser makes of the spaces of plain text."""
    return re.sub(r"[ \t\n]+", " ", text)


def test_indentation_of_a_users_code_stays() -> None:
    code = "def f(my_var):\n    return my_var"
    assert collapse(code) != code
    assert cleaned(code) == code


def test_underscores_and_stars_get_no_backslashes() -> None:
    text = "snake_case * 2 # and `_private_`"
    assert re.sub(r"([_*#`])", r"\\\1", text) != text
    assert cleaned(text) == text


def test_a_fraction_at_the_start_is_no_counter_of_a_page() -> None:
    text = "1 / 2 of the cake is left. Copy12 chars / 3 words"
    noise = re.search(r"\d+ / \d+", text)
    assert noise is not None
    assert noise.start() == 0
    assert cleaned(text) == text


def test_blank_lines_keep_their_number() -> None:
    text = "a\n\n\nb\n\n\n\nc"
    assert text.replace("\n\n\n", "\n") != text
    assert cleaned(text) == text


def test_tags_in_a_question_are_not_taken_for_markup() -> None:
    text = "Why does <div> differ from <span>? See <b>this</b> & that &amp; 1 < 2"
    assert re.sub(r"<div.*?>|<span.*?>", "", text) != text
    assert cleaned(text) == text


def test_duplicates_are_the_same_in_every_process(talk: Talk) -> None:
    program = (
        "import json, sys\nfrom ochat_data import Record\n"
        "from ochat_data.deduplication import exact_digest\n"
        "text = sys.stdin.read()\n"
        "print(hash(text), exact_digest(Record.from_json(json.loads(text))).hex())"
    )
    line = json.dumps(talk("Hi", "Hello").to_json())
    found = [
        subprocess.run(
            [sys.executable, "-c", program], input=line, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert found[0][0] != found[1][0]  # the original's key: Python's own salted hash
    assert found[0][1] == found[1][1] == exact_digest(talk("Hi", "Hello")).hex()


def test_files_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"instruction": "caf\u00e9 \u6f22", "output": "\u00e9"}\n'.encode())
    command = [sys.executable, "-m", "ochat_data", "import", str(path), "--output", "-"]
    result = subprocess.run(
        command, capture_output=True, check=True, env={"LC_ALL": "C", "PYTHONUTF8": "0"}
    )
    assert json.loads(result.stdout)["items"][0]["content"] == "caf\u00e9 \u6f22"


def test_words_at_line_ends_are_not_joined_and_code_has_no_language(talk: Talk) -> None:
    text = "Der Fuchs\nund der\nHund gehen\nheute in\nden Garten\nund dann\nnach Hause"
    assert "Fuchsund" in text.replace("\n", "")
    english_code = "```\nfor the value in this list of words: return the value of it\n```" * 9
    detect = open_detector()
    assert conversation_language(talk(text, english_code), detect) == "de"


def test_one_bad_file_does_not_end_the_run(tmp_path: Path, command: Command) -> None:
    (tmp_path / "good.json").write_text('[{"instruction": "a", "output": "b"}]')
    (tmp_path / "bad.json").write_text('[{"instruction": "a", "output": 3}, {"ins')
    output = tmp_path / "out.jsonl"
    files = (tmp_path / "bad.json", tmp_path / "good.json")
    code, _, errors = command("import", *files, "--output", output, "--max-reject-rate", "0.9")
    assert code == 0
    assert "3 in = 1 out + 2 rejected" in errors


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        (CleanOptions(blocked_words=("Too many requests",)), "too many REQUESTS!", "blocked word"),
        (CleanOptions(blocked_words=("art",)), "A party of hearts", ""),
        (CleanOptions(refusals="drop"), "I'm sorry, but I cannot help with that.", "refusal"),
        (CleanOptions(refusals="keep"), "I'm sorry, but I cannot help with that.", ""),
        (CleanOptions(min_characters=16), "short", "too few characters"),
        (CleanOptions(), "\u200b\u200e", "empty answer"),
    ],
)
def test_what_is_not_wanted_is_dropped_for_its_reason(
    options: CleanOptions, answer: str, reason: str, talk: Talk
) -> None:
    assert clean_conversation(talk("Hi", answer).conversation, options).reason == reason


def test_refusals_can_be_unlearnt_in_place(talk: Talk) -> None:
    record = talk("a", "As an AI language model, I cannot.", "b", "Certainly: 4.")
    result = clean_conversation(record.conversation, CleanOptions(refusals="unlearn"))
    assert result.conversation is not None
    assert [m.loss_weight for m in result.conversation.messages] == [0, 0, 0, 1]
    assert result.repairs == {"refusal not to be learnt": 1}


def test_answers_of_a_page_become_markdown_and_questions_stay(talk: Talk) -> None:
    html = '<p>Use <code>x_1</code>:</p><pre><code class="language-py">a\n  b</code></pre>'
    record = talk("<p>How?</p>", html)
    result = clean_conversation(record.conversation)
    assert result.conversation is not None
    question, answer = result.conversation.messages
    assert question.content == "<p>How?</p>"
    assert answer.content == "Use `x_1`:\n\n```py\na\n  b\n```"
    never = clean_conversation(record.conversation, CleanOptions(html="never"))
    assert never.conversation == record.conversation
