"""What a single odd name, number or text costs on the way into records: itself, never the run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ochat_data import Record, TokenDataset

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def records(tmp_path: Path, talk: Callable[..., Record]) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(talk(f"Hi {n}", "Hello", model="").to_line() for n in range(20)))
    return path


def test_a_lone_surrogate_in_a_field_costs_one_record(tmp_path: Path, command: Command) -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    raw, output = tmp_path / "dump.json", tmp_path / "records.jsonl"
    fields: tuple[dict[str, str], ...] = (
        {},
        {"model": "\ud800"},
        {"source": "\udcff"},
        {"model": "gpt-4"},
    )
    raw.write_text(json.dumps([{"conversations": turns, **more} for more in fields]))
    code, _, errors = command("import", raw, "--output", output)
    assert code == 0
    assert "4 in = 2 out + 2 rejected" in errors


def test_a_model_name_from_the_command_line_that_is_no_utf8_is_refused(
    records: Path, command: Command
) -> None:
    code, out, errors = command("import", records, "--output", "-", "--model", "\udcff")
    assert (code, out) == (1, "")
    assert errors.startswith("ochat-data: none of the 20 records is usable")
    assert errors.count("\n") == 1
    assert "'model' has a lone surrogate" in errors


def test_files_whose_names_are_no_utf8_are_taken(
    records: Path, tmp_path: Path, tokenizer_path: Path, command: Command
) -> None:
    odd = tmp_path / os.fsdecode(b"odd-\xff.jsonl")
    records.rename(odd)
    assert command("import", odd, "--output", tmp_path / "r.jsonl")[0] == 0
    code, _, errors = command(
        *("tokenize", odd, "--template", "openchat_v3.2", "--tokenizer", tokenizer_path),
        *("--output", tmp_path / "set"),
    )
    assert code == 0, errors
    assert TokenDataset.open(tmp_path / "set").manifest.sources[0].name == "odd-\\xff.jsonl"


@pytest.mark.parametrize("weight", ["1e39", "1e-50", "1" + "0" * 400])
def test_a_weight_that_training_cannot_hold_costs_one_record(
    weight: str, records: Path, tmp_path: Path, command: Command
) -> None:
    items = (
        f'[{{"role":"user","content":"q"}},{{"role":"assistant","content":"x","weight":{weight}}}]'
    )
    with records.open("a") as stream:
        stream.write(f'{{"items":{items}}}\n')
    code, _, errors = command(
        "label", records, "--output", tmp_path / "out.jsonl", "--map", "*=GPT4"
    )
    assert code == 0
    assert "21 in = 20 out + 1 rejected" in errors
    array = tmp_path / "list.json"
    array.write_text("[" + ",".join(records.read_text().splitlines()) + "]")
    code, _, errors = command("import", array, "--output", tmp_path / "imported.jsonl")
    assert code == 0
    assert "21 in = 20 out + 1 rejected" in errors


@pytest.mark.parametrize("step", ["clean", "filter", "dedup"])
def test_a_raw_dump_where_records_are_expected_is_told_so(
    step: str, tmp_path: Path, command: Command
) -> None:
    raw = tmp_path / "dump.json"
    raw.write_text('[{"conversations": [{"from": "human", "value": "Hi"}]}]')
    code, _, errors = command(step, raw, "--output", tmp_path / "out.jsonl")
    assert code == 1
    assert "a raw dump has to go through 'ochat-data import' first" in errors
    code, _, errors = command("import", raw, "--format", "alpaca", "--output", tmp_path / "o.jsonl")
    assert code == 1
    assert "has to go through" not in errors
