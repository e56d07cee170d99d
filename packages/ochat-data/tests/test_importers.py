"""Every published format goes in from a file and comes out as the same conversations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ochat_data import InputError, Record, RecordError
from ochat_data.column_map import ColumnMap
from ochat_data.reading import read_items
from ochat_data.record_steps import import_item
from ochat_data.sharegpt_page import page_content

Command = Callable[..., tuple[int, str, str]]
QUESTION, ANSWER = "What is 2 < 3?", "True.\n\n    code"
TURNS = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]


def imported(path: Path, **options: object) -> list[Record]:
    items = read_items([str(path)], text=options.get("format_name") == "text")
    return [record for item in items for record in import_item(item, **options)]  # pyrefly: ignore


def exchange(record: Record) -> tuple[str, str]:
    first, second = record.conversation.messages
    assert (first.role, second.role) == ("user", "assistant")
    return first.content, second.content


def page(items: object) -> str:
    data = {"props": {"pageProps": {"content": {"items": items, "model": "Model: GPT-4"}}}}
    script = json.dumps(data).replace("</", "<\\/")
    return (
        "<!DOCTYPE html><html><head><title>x</title></head><body><div id='__next'></div>"
        f'<script id="__NEXT_DATA__" type="application/json">{script}</script></body></html>'
    )


def test_a_saved_sharegpt_page(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text(page(TURNS))
    (record,) = imported(tmp_path / "x.html")
    assert exchange(record) == (QUESTION, ANSWER)
    assert (record.model, record.source) == ("Model: GPT-4", "x.html")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html><body>nothing", "has no script '__NEXT_DATA__'"),
        ('<script id="__NEXT_DATA__">{oops</script>', "is not JSON"),
        ('<script id="__NEXT_DATA__">{"props": {"pageProps": {}}}</script>', "no 'content'"),
        ('<script id="__NEXT_DATA__">[]</script>', "got a list"),
    ],
)
def test_a_page_without_a_conversation_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        page_content(text)


def test_openorca_parquet_names_its_model_by_its_file(tmp_path: Path) -> None:
    rows = [{"id": "cot.1", "system_prompt": "S", "question": QUESTION, "response": ANSWER}]
    for name, model in (
        ("1M-GPT4-Augmented.parquet", "gpt-4"),
        ("3_5M-GPT3_5-Augmented.parquet", "gpt-3.5-turbo"),
        ("other.parquet", ""),
    ):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
        (record,) = imported(tmp_path / name)
        assert exchange(record) == (QUESTION, ANSWER)
        assert (record.conversation.system, record.model) == ("S", model)


def test_the_orca_merge_gives_a_record_for_each_answer(tmp_path: Path) -> None:
    rows = [
        {"system_prompt": "S", "question": QUESTION, "answer_gpt4": ANSWER, "answer_gpt35": "Yes"},
        {"system_prompt": "", "question": QUESTION, "answer_gpt4": "", "answer_gpt35": "Yes"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "merge.parquet")
    records = imported(tmp_path / "merge.parquet")
    assert [record.model for record in records] == ["gpt-4", "gpt-3.5-turbo", "gpt-3.5-turbo"]
    assert exchange(records[0]) == (QUESTION, ANSWER)
    (tmp_path / "none.jsonl").write_text(json.dumps({"question": "x", "answer_gpt4": ""}))
    with pytest.raises(RecordError, match="no answer under 'answer_gpt4' or 'answer_gpt35'"):
        imported(tmp_path / "none.jsonl")


def test_alpaca_with_history(tmp_path: Path) -> None:
    row = {"instruction": "c", "output": "d", "history": [["a", "b"]]}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    (record,) = imported(tmp_path / "a.json")
    assert [message.content for message in record.conversation.messages] == ["a", "b", "c", "d"]
    (tmp_path / "b.json").write_text(json.dumps([row | {"history": [["a"]]}]))
    with pytest.raises(RecordError, match=r"history\[0\]: expected a pair"):
        imported(tmp_path / "b.json")


def test_plain_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A story.\n")
    (tmp_path / "b.jsonl").write_text('{"text": "Another.", "weight": 0.5}\n')
    (first,), (second,) = imported(tmp_path / "a.txt"), imported(tmp_path / "b.jsonl")
    assert (first.text, first.is_document, first.weight) == ("A story.\n", True, None)
    assert (second.text, second.weight) == ("Another.", 0.5)
    assert Record.from_json(second.to_json()) == second
    with pytest.raises(RecordError, match="has no text"):
        Record.from_json({"text": ""})


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        (["question=q", "answer=a"], {"q": QUESTION, "a": ANSWER}),
        (
            ["messages=log", "role=who", "content=said", "user=Kunde", "assistant=Berater"],
            {"log": [{"who": "Kunde", "said": QUESTION}, {"who": "Berater", "said": ANSWER}]},
        ),
        (["messages=data"], {"data": [QUESTION, ANSWER]}),
    ],
)
def test_a_column_map_reads_anything_else(columns: list[str], value: object) -> None:
    (record,) = ColumnMap.parse(columns).convert(value, source="x")
    assert exchange(record) == (QUESTION, ANSWER)


def test_a_column_map_takes_system_model_condition_and_source() -> None:
    entries = ["question=q", "answer=a", "system=s", "model=m", "condition=c", "source=o"]
    value = {"q": "Q", "a": "A", "s": "S", "m": "gpt-4", "c": "GPT4", "o": "origin"}
    (record,) = ColumnMap.parse(entries).convert(value, source="x")
    assert (record.conversation.system, record.conversation.condition) == ("S", "GPT4")
    assert (record.model, record.source) == ("gpt-4", "origin")
    (document,) = ColumnMap.parse(["text=body"]).convert({"body": "T"}, source="x")
    assert document.text == "T"


@pytest.mark.parametrize(
    "columns", [["question=q"], ["x=y"], ["question"], ["text=a", "question=q", "answer=a"], []]
)
def test_a_column_map_that_makes_no_record_is_refused(columns: list[str]) -> None:
    with pytest.raises(InputError, match="--columns"):
        ColumnMap.parse(columns)


@pytest.mark.parametrize(
    ("columns", "value", "message"),
    [
        (["question=q", "answer=a"], {"q": "x"}, "a string under 'a', got nothing"),
        (["messages=m"], {"m": "x"}, "a list of messages under 'm', got a string"),
        (["messages=m"], {"m": [{"role": "x", "content": "y"}]}, r"m\[0\].role: unknown role 'x'"),
        (["messages=m"], {"m": [{"content": "y"}]}, r"m\[0\].role, got nothing"),
        (["messages=m"], {"m": [{"role": "system", "content": "y"}]}, "holds no messages"),
        (["text=t"], {"t": ""}, "has no text"),
        (["text=t"], "x", "a JSON object"),
    ],
)
def test_what_a_column_map_cannot_read_names_the_column(
    columns: list[str], value: object, message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        ColumnMap.parse(columns).convert(value, source="x")


def test_a_dry_run_shows_samples_and_errors_and_writes_nothing(
    tmp_path: Path, command: Command
) -> None:
    rows = [{"conversations": TURNS} for _ in range(5)]
    broken = [{"conversations": [{"from": "alien", "value": "x"}]}] * 2
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([*rows, *broken]))
    code, out, _ = command("import", path, "--dry-run")
    assert code == 0
    assert out.count("--- sample") == 3
    assert "7 items: 5 records, 2 items cannot be read" in out
    assert "2 x " in out
    assert "index 5: conversations[0]: unknown role 'alien'" in out
    assert [each.name for each in tmp_path.iterdir()] == ["dump.json"]
    path.write_text(json.dumps(broken))
    code, out, errors = command("import", path, "--dry-run")
    assert code == 1
    assert "can be imported" in errors


def test_an_import_without_output_says_what_to_give(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]")
    assert "give --output FILE, or --dry-run" in command("import", path)[2]


def test_columns_and_model_by_the_command(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": "Hi", "a": "Hello"}\n')
    output = tmp_path / "out.jsonl"
    columns = ("--columns", "question=q", "--columns", "answer=a")
    assert command("import", path, "--output", output, *columns, "--model", "m")[0] == 0
    assert json.loads(output.read_bytes())["model"] == "m"


def test_real_alpaca_eval_outputs_and_mt_bench_questions(test_data: Path) -> None:
    outputs = sorted((test_data / "alpaca_eval" / "model_outputs").glob("*.json"))
    for path in outputs:
        rows = json.loads(path.read_bytes())
        records = imported(path)
        assert len(records) == len(rows) == 805
        for row, record in zip(rows, records, strict=True):
            assert exchange(record) == (row["instruction"], row["output"])
    questions = test_data / "mt_bench" / "question.jsonl"
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    for row, record in zip(rows, imported(questions), strict=True):
        messages = record.conversation.messages
        assert [(m.role, m.content) for m in messages] == [("user", turn) for turn in row["turns"]]
