"""Filters, languages, refusals and decontamination say exactly why a record is not wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import InputError, Record
from ochat_data.decontamination import read_benchmarks
from ochat_data.filtering import FilterOptions, RecordFilter, load_predicate
from ochat_data.language import conversation_language, open_detector
from ochat_data.refusals import is_refusal

Talk = Callable[..., Record]
Command = Callable[..., tuple[int, str, str]]
ENGLISH = "The quick brown fox jumps over the lazy dog, and then it sleeps under the tree."
GERMAN = "Der schnelle braune Fuchs springt und schläft danach unter dem alten Baum im Garten."
CODE = "```python\nfor index in range(10):\n    print(index, 'hello world of code')\n```"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"models": ("gpt-4",)}, ""),
        ({"models": ("claude",)}, "model"),
        ({"not_models": ("gpt-4",)}, "model"),
        ({"conditions": ("GPT4",)}, ""),
        ({"conditions": ("GPT3",)}, "condition"),
        ({"min_turns": 2}, "too few turns"),
        ({"max_turns": 0}, "too many turns"),
        ({"min_characters": 8}, "too few characters"),
        ({"max_characters": 6}, "too many characters"),
        ({"min_characters": 7, "max_characters": 7, "min_turns": 1, "max_turns": 1}, ""),
    ],
)
def test_each_reason(options: dict[str, object], reason: str, talk: Talk) -> None:
    wanted = RecordFilter(FilterOptions(**options))  # pyrefly: ignore[bad-argument-type]
    assert wanted.check(talk("Hi", "Hello", condition="GPT4"))[1] == reason


def test_documents_have_characters_but_no_turns() -> None:
    document = Record.create_document("some text")
    assert RecordFilter(FilterOptions(min_turns=3)).check(document)[1] == ""
    short = RecordFilter(FilterOptions(min_characters=30))
    assert short.check(document)[1] == "too few characters"


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        ((ENGLISH, ENGLISH), "en"),
        ((GERMAN, GERMAN), "de"),
        (("ok", CODE), "und"),
        (("Erklär mir diesen Code bitte genau: " + GERMAN, CODE), "de"),
        (("2+2", "4"), "und"),
        ((f"{ENGLISH} https://example.org/der/die/das", ENGLISH), "en"),
    ],
)
def test_prose_decides_the_language_and_code_does_not(
    texts: tuple[str, ...], language: str, talk: Talk
) -> None:
    assert conversation_language(talk(*texts), open_detector()) == language


def test_languages_are_noted_and_filtered(talk: Talk) -> None:
    wanted = RecordFilter(FilterOptions(languages=("en",)))
    record, reason = wanted.check(talk(GERMAN, GERMAN))
    assert (record.language, reason) == ("de", "language")
    assert Record.from_json(record.to_json()).language == "de"
    unwanted = RecordFilter(FilterOptions(not_languages=("de",)))
    assert unwanted.check(talk(GERMAN, GERMAN))[1] == "language"
    assert unwanted.check(talk(ENGLISH, ENGLISH))[1] == ""


def test_a_fasttext_model_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lid.ftz").write_bytes(b"no model")
    with pytest.raises(InputError, match="is no fastText model"):
        open_detector(tmp_path / "lid.ftz")


def test_a_predicate_of_ones_own(tmp_path: Path, talk: Talk) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text(
        "def keep(record):\n    return 'x' in record.conversation.messages[0].content\n"
        "def fail(record):\n    return 1 / 0\nnumber = 3\n"
    )
    wanted = RecordFilter(FilterOptions(predicate=f"{rules}:keep"))
    assert wanted.check(talk("an x", "y"))[1] == ""
    assert wanted.check(talk("a z", "y"))[1] == "own predicate"
    failing = RecordFilter(FilterOptions(predicate=f"{rules}:fail"))
    with pytest.raises(InputError, match="failed on the record .*ZeroDivisionError"):
        failing.check(talk("a", "b"))
    for name in (f"{rules}:missing", f"{tmp_path}/gone.py:keep", "keep", f"{rules}:number"):
        with pytest.raises(InputError, match="predicate"):
            load_predicate(name)
    assert load_predicate("json:loads") is json.loads


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I cannot browse the internet.",
        "I'm sorry, but I can't help with that request.",
        "I\u2019m sorry, I cannot assist with that.",
        "I cannot provide medical advice.",
        "I apologize, but as a responsible assistant I am unable to comply.",
        "I do not have personal opinions, but here is a summary.",
    ],
)
def test_refusals_are_told(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Ethical guidelines in medicine began with Hippocrates.",
        "```python\nprint('I cannot help with that')\n```\nThis prints a refusal.",
        "She said she was sorry, and left.",
        "The well-being of users matters in responsible AI, a field that studies " + "x " * 300,
        "A detailed answer. " * 30 + "As an AI language model, I cannot say more.",
        "",
    ],
)
def test_ordinary_answers_are_no_refusals(answer: str) -> None:
    assert not is_refusal(answer)


def test_benchmark_questions_are_found_whatever_surrounds_them(tmp_path: Path, talk: Talk) -> None:
    question = (
        "A farmer has seventeen sheep and all but nine of them run away in the night; "
        "how many sheep are left on the farm?"
    )
    short = "How many legs do seven spiders have together?"
    rows = [{"question_id": 1, "turns": [question, "Why?"]}, {"prompt": short}]
    path = tmp_path / "bench.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    benchmark = read_benchmarks([str(path)])
    assert benchmark.questions == 2
    assert benchmark.holds(talk(f"Please solve: {question.upper()} Thanks!", "8"))
    assert benchmark.holds(talk("x", f"You asked: {short}"))
    assert not benchmark.holds(talk("A farmer has seventeen sheep. How many legs have they?", "68"))
    assert not benchmark.holds(talk("Why?", "Because."))
    assert benchmark.holds(Record.create_document(f"From a book: {question}"))


def test_real_benchmark_questions_are_found_in_what_answers_them(
    test_data: Path, tmp_path: Path, command: Command
) -> None:
    questions = test_data / "mt_bench" / "question.jsonl"
    outputs = test_data / "alpaca_eval" / "model_outputs" / "alpaca-7b.json"
    records, kept = tmp_path / "r.jsonl", tmp_path / "k.jsonl"
    assert command("import", outputs, questions, "--output", records)[0] == 0
    code, _, errors = command("filter", records, "--output", kept, "--benchmark", questions)
    assert code == 0
    dropped = int(errors.partition(" dropped (benchmark question)")[0].rpartition("+ ")[2])
    assert dropped >= 75  # of 80 MT-bench chats; the others' questions are too short to tell


def test_a_benchmark_without_questions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text('{"id": 1}\n')
    with pytest.raises(InputError, match="holds no benchmark question"):
        read_benchmarks([str(path)])


def test_the_command_counts_every_reason(tmp_path: Path, talk: Talk, command: Command) -> None:
    records = [talk("Hi", "Hello"), talk("Hi", "Hello", model="x"), talk("a", "b", "c", "d")]
    path, output = tmp_path / "r.jsonl", tmp_path / "o.jsonl"
    path.write_bytes(b"".join(record.to_line() for record in records))
    options = ("--model", "gpt-4", "--max-turns", "1")
    code, _, errors = command("filter", path, "--output", output, *options)
    assert code == 0
    assert "3 in = 1 out + 1 dropped (model) + 1 dropped (too many turns) + 0 rejected" in errors
