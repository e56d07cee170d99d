"""The commands as a person runs them, from raw files to a dataset, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ochat_data import Record, TokenDataset
from ochat_templates import Codec, convert_sentencepiece, load_codec

Command = Callable[..., tuple[int, str, str]]
SHAREGPT = [
    {"id": "a", "model": "gpt-4", "conversations": [["human", "Hi"], ["gpt", "Hello there."]]},
    {"id": "b", "model": "gpt-3.5-turbo", "conversations": [["human", "Hi"], ["gpt", "yo"]]},
    {"id": "c", "model": "gpt-4", "conversations": [["human", "Hi"], ["tool", "x"]]},
    {"id": "d", "model": "gpt-4", "conversations": [["human", "No answer"]]},
]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for entry in SHAREGPT:
        assert isinstance(entry["conversations"], list)
    values = [
        {**entry, "conversations": [{"from": who, "value": what} for who, what in turns]}
        for entry in SHAREGPT
        if isinstance(turns := entry["conversations"], list)
    ]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(values))
    return path


@pytest.fixture
def records(tmp_path: Path, talk: Callable[..., Record]) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(talk(f"Hi {n}", "Hello").to_line() for n in range(20)))
    return path


def sentence(code: int, out: str, errors: str) -> str:
    """The one sentence of a failed command; fails on anything more."""
    lines = [line for line in errors.splitlines() if line.startswith("ochat-data: ")]
    assert code == 1
    assert not out
    assert "Traceback" not in errors
    assert len(lines) == 1
    return lines[0]


def test_the_whole_way_from_a_dump_to_a_dataset(
    raw: Path, tmp_path: Path, tokenizer_path: Path, command: Command
) -> None:
    imported, cleaned, labelled = (tmp_path / f"{name}.jsonl" for name in ("r", "c", "l"))
    code, out, errors = command("import", raw, "--output", imported)
    assert (code, out) == (0, "")
    assert "4 in = 3 out + 1 rejected" in errors
    reject = json.loads((tmp_path / "r.jsonl.rejects.jsonl").read_text())
    assert reject["where"] == "index 2"
    assert "messages of 'tool' cannot be kept" in reject["reason"]
    code, _, errors = command("clean", imported, "--output", cleaned)
    assert code == 0
    assert "3 in = 2 out + 1 dropped (no answered question) + 0 rejected" in errors
    label = ["label", cleaned, "--output", labelled, "--weights", "crlft-0.1"]
    assert command(*label, "--map", "gpt-4=GPT4", "--map", "gpt-3.5-turbo=GPT3")[0] == 0
    code, _, errors = command(
        *("tokenize", labelled, "--template", "openchat_v3.2"),
        *("--tokenizer", tokenizer_path, "--output", tmp_path / "set"),
    )
    assert code == 0
    assert "2 in = 2 used (2 train + 0 eval)" in errors
    dataset = TokenDataset.open(tmp_path / "set")
    assert dataset.manifest.weights == {"GPT3": (0.1,), "GPT4": (1.0,)}
    assert dataset.manifest.sources[0].name == "l.jsonl"
    assert dataset.manifest.sources[0].records == 2
    code, out, _ = command("inspect", tmp_path / "set", "--tokenizer", tokenizer_path)
    assert code == 0
    assert "Hello there.<end_of_turn>" in out.replace("|", "")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_help_is_instant_and_loads_no_array_library() -> None:
    program = (
        "import sys\n"
        "from ochat_data.__main__ import build_parser\n"
        "text = build_parser().format_help()\n"
        "assert 'tokenize' in text\n"
        "print(sorted({'numpy', 'pyarrow', 'torch', 'transformers'} & sys.modules.keys()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ochat_data", "--help"], capture_output=True, check=True)
    assert time.perf_counter() - started < 3  # 0.1 s on an idle machine


@pytest.mark.parametrize("name", ["import", "clean", "label", "tokenize", "inspect", "pack-stats"])
def test_every_command_explains_itself_with_an_example(name: str, command: Command) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"ochat-data {name} " in out.partition("options:")[0].partition("\n\n")[2]


def test_a_pipe_can_join_the_commands(raw: Path) -> None:
    program = f"{sys.executable} -m ochat_data"
    line = f"{program} import {raw} --output - | {program} clean - --output -"
    run = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert [json.loads(text)["model"] for text in run.stdout.splitlines()] == [
        "gpt-4",
        "gpt-3.5-turbo",
    ]


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path, records: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_bytes(records.read_bytes() * 500)
    line = f"{sys.executable} -m ochat_data clean {many} --output - | head -n 1"
    run = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert len(run.stdout.splitlines()) == 1
    assert not run.stderr


@pytest.mark.parametrize("name", ["import", "clean"])
def test_a_missing_file_is_one_sentence(name: str, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "out.jsonl"
    assert "gone.json does not exist" in sentence(
        *command(name, tmp_path / "gone.json", "--output", output)
    )
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "photo.json"
    path.write_bytes(bytes(range(256)) * 3)
    output = tmp_path / "out.jsonl"
    assert "is usable; the first:" in sentence(*command("import", path, "--output", output))
    path.write_bytes(b"")
    assert "holds no records" in sentence(*command("import", path, "--output", output))
    assert not output.exists()


def test_too_many_rejects_fail_the_run(raw: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "out.jsonl"
    result = command("import", raw, "--output", output, "--max-reject-rate", "0.2")
    assert "1 of 4 records were rejected" in sentence(*result)
    assert not output.exists()


def test_a_model_without_a_map_is_one_sentence_or_a_choice(
    raw: Path, tmp_path: Path, command: Command
) -> None:
    records, output = tmp_path / "r.jsonl", tmp_path / "l.jsonl"
    command("import", raw, "--output", records)
    label = ["label", records, "--output", output, "--map", "gpt-4=GPT4"]
    assert "no condition for the model 'gpt-3.5-turbo'" in sentence(*command(*label))
    assert not output.exists()
    assert "1 dropped (no condition" in command(*label, "--unmatched", "drop")[2]
    command(*label, "--unmatched", "keep")
    conditions = [json.loads(line).get("condition") for line in output.read_text().splitlines()]
    assert conditions == ["GPT4", None, "GPT4"]


def test_a_record_that_the_template_does_not_take_is_set_aside(
    records: Path,
    tmp_path: Path,
    tokenizer_path: Path,
    talk: Callable[..., Record],
    command: Command,
) -> None:
    with records.open("ab") as stream:
        stream.write(talk("Hi", "Hello", condition="Nobody").to_line())
    code, _, errors = command(
        *("tokenize", records, "--template", "openchat_v3.2"),
        *("--tokenizer", tokenizer_path, "--output", tmp_path / "set"),
    )
    assert code == 0
    assert "21 in = 20 used (20 train" in errors
    reject = json.loads((tmp_path / "set.rejects.jsonl").read_text())
    assert (reject["where"], reject["stage"]) == ("line 21", "tokenize")
    assert "Nobody" in reject["reason"]


def test_what_tokenize_cannot_use_is_one_sentence(
    records: Path, tmp_path: Path, tokenizer_path: Path, command: Command
) -> None:
    output = tmp_path / "set"

    def tokenize(template: str, tokenizer: Path, *more: str) -> str:
        return sentence(
            *command(
                *("tokenize", records, "--template", template),
                *("--tokenizer", tokenizer, "--output", output, *more),
            )
        )

    assert "openchat_v3.2" in tokenize("openchat_v3.3", tokenizer_path)
    assert "tokenizer" in tokenize("openchat_v3.2", tmp_path / "gone.model")
    plain = tmp_path / "tokenizer.json"
    convert_sentencepiece(tokenizer_path, []).save(str(plain))
    assert "<|end_of_turn|>" in tokenize("openchat_v3.2", plain)
    assert "max_length must be at least 2" in tokenize(
        "openchat_v3.2", tokenizer_path, "--max-length", "1"
    )
    assert not output.exists()


def test_an_existing_dataset_is_kept_without_overwrite(
    records: Path, tmp_path: Path, tokenizer_path: Path, command: Command
) -> None:
    arguments = [
        *("tokenize", records, "--template", "openchat_v3.2"),
        *("--tokenizer", tokenizer_path, "--output", tmp_path / "set"),
    ]
    assert command(*arguments)[0] == 0
    assert "--overwrite" in sentence(*command(*arguments))
    assert command(*arguments, "--overwrite")[0] == 0


def test_inspect_checks_the_tokenizer_against_the_dataset(
    records: Path, tmp_path: Path, tokenizer_path: Path, command: Command
) -> None:
    output = tmp_path / "set"
    command(
        *("tokenize", records, "--template", "openchat_v3.2"),
        *("--tokenizer", tokenizer_path, "--output", output),
    )
    assert command("inspect", output, "--index", "3")[0] == 0
    assert "no example 99" in sentence(*command("inspect", output, "--index", "99"))
    assert "tokenized differently" in sentence(
        *command(
            *("inspect", output, "--tokenizer", tokenizer_path),
            *("--template", "openchat_v3.1_llama2"),
        )
    )


def test_inspect_shows_a_record_and_its_tokens(
    records: Path, tokenizer_path: Path, command: Command
) -> None:
    code, out, _ = command("inspect", records, "--index", "2")
    assert code == 0
    assert "Hi 2" in out
    tokens = ["--template", "openchat_v3.2", "--tokenizer", tokenizer_path]
    assert "weight 1 " in command("inspect", records, *tokens)[1]
    assert "both --template and --tokenizer" in sentence(
        *command("inspect", records, "--template", "openchat_v3.2")
    ).replace("need ", "")
    assert "no record 50" in sentence(*command("inspect", records, "--index", "50"))


def test_pack_stats_prints_one_json_object(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "lengths.npy"
    np.save(path, np.random.default_rng(0).integers(1, 100, 5000))
    code, out, _ = command(
        "pack-stats", "--lengths", path, "--capacity", 400, "--world-size", 2, "--epoch", 1
    )
    figures = json.loads(out)
    assert code == 0
    assert list(figures) == [
        "steps",
        "fill",
        "cost_imbalance",
        "token_imbalance",
        "homogeneity",
        "last_step_fill",
        "dropped",
        "seconds",
    ]
    assert figures["fill"] > 0.995
    assert figures["dropped"] == 0


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], "nothing to pack"),
        ([500], "example 0 has 500 tokens"),
        ([0.5], "array of integers"),
        (None, "numpy.save"),
    ],
)
def test_lengths_that_cannot_be_packed_are_one_sentence(
    lengths: list[float] | None, message: str, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "lengths.npy"
    if lengths is None:
        path.write_text("5\n6\n")
    else:
        np.save(path, np.array(lengths, dtype=None if lengths else np.int64))
    assert message in sentence(*command("pack-stats", "--lengths", path, "--capacity", 100))


def test_a_wrong_argument_is_a_usage_error(records: Path, command: Command) -> None:
    code, _, errors = command("clean", records, "--output", "x", "--max-reject-rate", "2")
    assert code == 2
    assert "expected a share from 0 to 1, got '2'" in errors


def test_real_outputs_become_the_tokens_of_the_real_tokenizer(
    test_data: Path, tmp_path: Path, command: Command
) -> None:
    outputs = test_data / "alpaca_eval" / "model_outputs"
    tokenizer = test_data / "llama2_tokenizer.model"
    names = ["gpt4_1106_preview", "alpaca-7b"]
    files = [outputs / f"{name}.json" for name in names]
    records, labelled, dataset = (tmp_path / name for name in ("r.jsonl", "l.jsonl", "set"))
    assert "1610 in = 1610 out" in command("import", *files, "--output", records)[2]
    maps = ["--map", "gpt4_1106_preview=GPT4", "--map", "alpaca-7b=GPT3"]
    command("label", records, "--output", labelled, *maps, "--weights", "crlft-0.1")
    code, _, _ = command(
        *("tokenize", labelled, "--template", "openchat_v3.2", "--tokenizer", tokenizer),
        *("--output", dataset, "--eval-fraction", "0.1"),
    )
    assert code == 0
    opened = TokenDataset.open(dataset)
    assert opened.vocab_size == 32_001
    assert sum(split.totals.tokens for split in opened.manifest.splits.values()) == 590_514
    codec: Codec = load_codec(tokenizer, "openchat_v3.2")
    first = Record.from_json(json.loads(labelled.read_text().splitlines()[0]))
    train = opened.split("train")
    example = train.example(train.record_ids.index(first.id))
    assert example.ids.tolist() == codec.encode(first.conversation).ids


@pytest.mark.parametrize("rejects", ["tokenizer.model", "records.jsonl", "set/rejects.jsonl"])
def test_tokenize_refuses_rejects_over_its_own_files(
    rejects: str, records: Path, tmp_path: Path, tokenizer_path: Path, command: Command
) -> None:
    tokenizer = tmp_path / "tokenizer.model"
    tokenizer.write_bytes(tokenizer_path.read_bytes())
    result = command(
        *("tokenize", records, "--template", "openchat_v3.2", "--tokenizer", tokenizer),
        *("--output", tmp_path / "set", "--rejects", tmp_path / rejects),
    )
    assert "give --rejects another file" in sentence(*result)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.jsonl", "tokenizer.model"]


def test_pack_stats_refuses_an_absurd_number_of_ranks(tmp_path: Path, command: Command) -> None:
    np.save(tmp_path / "lengths.npy", np.array([5, 7]))
    result = command(
        *("pack-stats", "--lengths", tmp_path / "lengths.npy", "--capacity", "10"),
        *("--world-size", "100000000000"),
    )
    assert "world_size may be at most 1,000,000" in sentence(*result)
