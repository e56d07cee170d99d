"""A pipeline gives the same bytes whatever the workers and interruptions, and loses nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ochat_data import InputError, Manifest, TokenDataset
from ochat_data.pipeline import chunks, read_recipe, running

Command = Callable[..., tuple[int, str, str]]
WORDS = [
    "the",
    "fox",
    "and",
    "dog",
    "write",
    "a",
    "story",
    "in",
    "three",
    "lines",
    "about",
    "capital",
    "Paris",
    "seven",
    "add",
]
RECIPE = """
schema = 1
output = "set"
[[source]]
files = ["dump.jsonl", "more.json.gz"]
[[source]]
files = ["book.txt"]
tokens = 300
[clean]
refusals = "unlearn"
[filter]
max_turns = 30
[dedup]
method = "near"
[label]
map = { "gpt-4" = "GPT4", "*" = "GPT3" }
weights = "crlft-0.1"
[tokenize]
template = "openchat_v3.2"
tokenizer = "tokenizer.model"
truncation = "split"
max_length = 256
eval_fraction = 0.1
"""

SMALL_CHUNKS = [
    sys.executable,
    "-c",
    "import sys; from ochat_data.pipeline import chunks; chunks.CHUNK_BYTES = 4000\n"
    "from ochat_data.__main__ import main; sys.exit(main(sys.argv[1:]))",
]


def say(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def conversation(rng: random.Random) -> dict[str, object]:
    turns = [
        {"from": ("human", "gpt")[index % 2], "value": say(rng, rng.randint(3, 40))}
        for index in range(2 * rng.randint(1, 4))
    ]
    return {"conversations": turns, "model": rng.choice(["gpt-4", "gpt-3.5"])}


@pytest.fixture
def project(tmp_path: Path, tokenizer_path: Path) -> Path:
    """A pipeline file with its inputs: duplicates, broken lines, a list, a book."""
    rng = random.Random(5)  # noqa: S311 - a seed, not a secret
    rows = [conversation(rng) for _ in range(240)]
    lines = [json.dumps(row) for row in [*rows, *rows[:20]]]
    lines[50] = lines[50].replace('"value": "', '"value": "Two\\r\\nlines ', 1)
    lines[100] = '{"conversations": [{"from": "alien"'
    lines[101] = '{"conversations": [{"from": "alien", "value": "x"}]}'
    (tmp_path / "dump.jsonl").write_text("\n".join(lines))
    more = [conversation(rng) for _ in range(60)]
    (tmp_path / "more.json.gz").write_bytes(gzip.compress(json.dumps(more).encode(), mtime=0))
    (tmp_path / "book.txt").write_text(say(rng, 4000))
    (tmp_path / "tokenizer.model").write_bytes(tokenizer_path.read_bytes())
    (tmp_path / "pipeline.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few conversations, here and in worker processes."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4000)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def run(command: Command, project: Path, *options: str) -> tuple[int, str, str]:
    return command("run", project / "pipeline.toml", *options)


@pytest.mark.usefixtures("small_chunks")
def test_what_goes_in_comes_out_or_is_accounted_for(project: Path, command: Command) -> None:
    code, _, errors = run(command, project, "--workers", "1")
    assert code == 0, errors
    manifest = Manifest.read(project / "set")
    stages = {stage.name: stage for stage in manifest.stages}
    assert stages["import"].read == 321
    assert stages["import"].rejected == 2
    assert stages["clean"].repairs == {"line ends": 1}
    for stage in manifest.stages:
        assert stage.read == stage.used + stage.rejected + sum(stage.dropped.values())
    order = ("import", "clean", "filter", "label", "dedup", "tokenize")
    for before, after in pairwise(order):
        assert stages[before].written == stages[after].read
    assert stages["dedup"].dropped["duplicate"] >= 20
    totals = [manifest.splits[name].totals.examples for name in ("train", "eval")]
    assert sum(totals) == stages["mix"].written
    assert min(totals) > 0
    # A document is held out as a whole or not at all.
    book = [
        split.conditions["document"]
        for split in manifest.splits.values()
        if "document" in split.conditions
    ]
    assert len(book) == 1
    assert 300 <= book[0].tokens < 300 + 256
    assert [source.records for source in manifest.sources] == [260, 60, 1]
    rejects = lines_of(project / "set.rejects.jsonl")
    assert [(each["where"], Path(each["file"]).name) for each in rejects] == [
        ("line 101", "dump.jsonl"),
        ("line 102", "dump.jsonl"),
    ]
    data = (project / "dump.jsonl").read_bytes()
    for each in rejects:
        assert data[each["offset"] :].startswith(each["raw"].encode())
    groups = lines_of(project / "set.duplicates.jsonl")
    assert sum(len(group["dropped"]) for group in groups) == stages["dedup"].dropped["duplicate"]
    TokenDataset.open(project / "set").split("train")
    assert sorted(path.name for path in project.glob(".*")) == []
    assert "321 in = 319 out + 2 rejected" in errors


@pytest.mark.usefixtures("small_chunks")
def test_workers_and_chunks_do_not_matter(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, str]] = []
    for size, workers in ((4000, "1"), (8 << 20, "1"), (8 << 20, "2")):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", size)
        assert run(command, project, "--workers", workers, "--overwrite")[0] == 0
        found.append(digests(project / "set"))
        for path in (project / "set").iterdir():
            path.unlink()
        (project / "set").rmdir()
    assert found[0] == found[1] == found[2]


@pytest.mark.usefixtures("small_chunks")
def test_a_second_run_has_nothing_to_do_until_something_changes(
    project: Path, command: Command
) -> None:
    run(command, project, "--workers", "1")
    before = digests(project / "set")
    code, _, errors = run(command, project, "--workers", "1")
    assert code == 0
    assert "already there" in errors
    (project / "book.txt").write_text("Another book, a short one, about a fox and a dog.")
    code, _, errors = run(command, project, "--workers", "1")
    assert code == 1
    assert "give --overwrite" in errors
    assert digests(project / "set") == before
    assert run(command, project, "--workers", "1", "--overwrite")[0] == 0
    assert digests(project / "set") != before


def test_a_killed_run_goes_on_to_the_same_bytes(project: Path, command: Command) -> None:
    """kill -9 at random moments, on two workers, until a run gets through."""
    rng = random.Random(11)  # noqa: S311
    assert run(command, project, "--workers", "1")[0] == 0
    expected = digests(project / "set")
    for path in (project / "set").iterdir():
        path.unlink()
    (project / "set").rmdir()
    again = [*SMALL_CHUNKS, "run", str(project / "pipeline.toml"), "--workers", "2"]
    killed = 0
    for attempt in range(1, 9):
        process = subprocess.Popen(again, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(0.2, 0.6) * attempt)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed
    subprocess.run(again, check=True, stderr=subprocess.DEVNULL)
    assert digests(project / "set") == expected
    assert sorted(path.name for path in project.glob(".*")) == []


def test_pieces_of_another_size_are_never_mixed_in(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed, and gone on with by a version that cuts its inputs otherwise."""
    assert run(command, project, "--workers", "1")[0] == 0
    expected = digests(project / "set")
    shutil.rmtree(project / "set")
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", 4000)
        patch.setattr(running, "find_duplicates", _die)
        with pytest.raises(ZeroDivisionError):
            run(command, project, "--workers", "1")
    assert list(project.glob(".set.work/*/prepare-*.json"))
    assert run(command, project, "--workers", "1")[0] == 0
    assert digests(project / "set") == expected


def _die(*_: object) -> None:
    raise ZeroDivisionError


def test_workers_end_with_the_run_that_started_them(project: Path) -> None:
    start = [*SMALL_CHUNKS, "run", str(project / "pipeline.toml")]
    marker = f"--marker={project}"
    environment = os.environ | {"OCHAT_TEST_MARKER": marker}
    process = subprocess.Popen(
        [*start, "--workers", "2"], env=environment, stderr=subprocess.DEVNULL
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (left := _with_marker(marker)):
        time.sleep(0.2)
    assert not left


def _with_marker(marker: str) -> list[str]:
    """Processes that have the marker in their environment."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in entry.read_bytes() and entry.parent.name != str(os.getpid()):
                found.append(entry.parent.name)
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("schema = 1", "schema = 9"), "expected 'schema = 1'"),
        (('output = "set"', "output = 3"), "a folder's name under 'output'"),
        (("[clean]", "[cleen]"), "the file has no field 'cleen'; did you mean 'clean'"),
        (("refusals", "refusal"), r"\[clean\] has no field 'refusal'; did you mean 'refusals'"),
        (('"unlearn"', '"forget"'), "no refusals rule 'forget'"),
        (("max_turns = 30", 'max_turns = "x"'), r"\[filter\] max_turns: expected a number"),
        (('"near"', '"fuzzy"'), "method must be one of exact, near"),
        (("tokens = 300", "tokens = -3"), "'tokens' must be from 0 up"),
        (("tokens = 300", "weight = -1"), "'weight' must be from 0 up"),
        (('template = "openchat_v3.2"', ""), r"\[tokenize\]: 'template' is missing"),
        (('"split"', '"fold"'), "no truncation 'fold'"),
        (('"crlft-0.1"', '"v9"'), "no weights 'v9'"),
        (('files = ["book.txt"]', "files = []"), "'files' is empty"),
        (('files = ["book.txt"]', "files = [1]"), "files: expected a list of strings"),
        (('files = ["book.txt"]', 'files = ["x"]\nformat = "y"'), "no format 'y'"),
        (("[tokenize]", "[limits]\nmax_reject_rate = 2\n[tokenize]"), "from 0 to 1"),
        (("schema = 1", "schema = "), "cannot read the pipeline file"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_field(
    change: tuple[str, str], message: str, project: Path
) -> None:
    path = project / "pipeline.toml"
    path.write_text(RECIPE.replace(*change))
    with pytest.raises(InputError, match=message) as error:
        read_recipe(path)
    assert "pipeline.toml" in str(error.value)


def test_a_missing_or_doubled_input_is_named(project: Path, command: Command) -> None:
    for files, message in (
        ('["gone.jsonl"]', "gone.jsonl does not exist"),
        ('["dump.jsonl", "dump.jsonl"]', "is given twice"),
    ):
        text = RECIPE.replace('["dump.jsonl", "more.json.gz"]', files)
        (project / "pipeline.toml").write_text(text)
        assert message in run(command, project, "--workers", "1")[2]
    assert not (project / "set").exists()


@pytest.mark.parametrize(
    ("change", "message", "listed"),
    [
        (("[tokenize]", "[limits]\nmax_reject_rate = 0.001\n[tokenize]"), "import rejected 2", 2),
        (('"GPT4", "*" = "GPT3"', '"Odd", "*" = "Odd"'), "tokenize rejected 298 of 299", 300),
    ],
)
def test_too_many_rejects_fail_the_run_and_leave_no_dataset_but_the_rejects(
    change: tuple[str, str], message: str, listed: int, project: Path, command: Command
) -> None:
    (project / "pipeline.toml").write_text(RECIPE.replace(*change).replace('"near"', '"exact"'))
    code, _, errors = run(command, project, "--workers", "1")
    assert code == 1
    assert message in errors
    assert not (project / "set").exists()
    assert len(lines_of(project / "set.rejects.jsonl")) == listed


@pytest.mark.parametrize(
    ("expert", "factors"),
    [("", {"GPT3": 0.1, "GPT4": 1.0}), ('expert = "GPT3"', {"GPT3": 1.0, "GPT4": 0.1})],
)
def test_the_expert_is_the_templates_own_unless_named(
    expert: str, factors: dict[str, float], project: Path, command: Command
) -> None:
    text = RECIPE.replace('weights = "crlft-0.1"\n', "").replace('"near"', '"exact"')
    (project / "pipeline.toml").write_text(f'{text}weights = "crlft-0.1"\n{expert}\n')
    code, _, errors = run(command, project, "--workers", "1")
    assert code == 0, errors
    assert Manifest.read(project / "set").weight_factors == factors


def test_sources_give_condition_weight_and_share(project: Path, command: Command) -> None:
    text = """
schema = 1
output = "set"
[[source]]
files = ["dump.jsonl"]
condition = "GPT3"
loss_weight = 0.25
weight = 0.5
[[source]]
files = ["table.jsonl"]
columns = { question = "q", answer = "a" }
model = "m"
condition = "GPT4"
weight = 3
[tokenize]
template = "openchat_v3.2"
tokenizer = "tokenizer.model"
"""
    (project / "pipeline.toml").write_text(text)
    (project / "table.jsonl").write_text('{"q": "Hi", "a": "Hello"}\n')
    code, _, errors = run(command, project, "--workers", "1")
    assert code == 0, errors
    manifest = Manifest.read(project / "set")
    assert manifest.weights == {"GPT3": (0.25,), "GPT4": (1.0,)}
    conditions = manifest.splits["train"].conditions
    assert conditions["GPT4"].examples == 3
    assert 90 < conditions["GPT3"].examples < 170
    split = TokenDataset.open(project / "set").split("train")
    copies = [
        name
        for name, condition in zip(split.record_ids, split.conditions, strict=True)
        if condition == "GPT4"
    ]
    assert len(set(copies)) == 3
