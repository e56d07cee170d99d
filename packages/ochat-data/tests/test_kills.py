"""A run that is killed at any moment and started again makes the same dataset to the byte."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = """
schema = 1
output = "set"
[[source]]
files = ["dump.jsonl", "more.json"]
[clean]
refusals = "unlearn"
[filter]
max_turns = 30
[dedup]
method = "near"
[label]
map = { "gpt-4" = "GPT4", "*" = "GPT3" }
[tokenize]
template = "openchat_v3.2"
tokenizer = "tokenizer.model"
truncation = "split"
max_length = 200
weights = "v3-balanced"
eval_fraction = 0.1
"""
RUN = [
    sys.executable,
    "-c",
    # A shell that starts something in the background has it ignore Ctrl-C.
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from ochat_data.pipeline import chunks; chunks.CHUNK_BYTES = 100_000\n"
    "from ochat_data.__main__ import main; sys.exit(main(sys.argv[1:]))",
    *("run", "pipeline.toml", "--workers", "2"),
]
KILLS = 20


def make_project(folder: Path, tokenizer: Path) -> None:
    """Some 4,000 conversations, an eighth of them copies, a few lines broken."""
    rng = random.Random(3)  # noqa: S311 - a seed, not a secret
    words = [f"{rng.choice('bcdfgklmnprst')}{rng.choice('aeiou')}{n % 97}" for n in range(300)]
    lines: list[str] = []
    for number in range(4000):
        turns = [
            {"from": ("human", "gpt")[turn % 2], "value": " ".join(rng.choices(words, k=30))}
            for turn in range(2 * rng.randint(1, 4))
        ]
        model = rng.choice(("gpt-4", "gpt-3.5"))
        copied = lines[rng.randrange(number)] if number % 8 == 7 else ""
        lines.append(copied or json.dumps({"conversations": turns, "model": model}))
    lines[70] = lines[70][:50]
    (folder / "dump.jsonl").write_text("\n".join(lines[:3000]))
    whole = [line for line in lines[3000:] if line.endswith("}")]
    (folder / "more.json").write_text(f"[{','.join(whole)}]")
    (folder / "pipeline.toml").write_text(RECIPE)
    shutil.copy(tokenizer, folder / "tokenizer.model")


def outcome(folder: Path) -> dict[str, str]:
    """The digest of everything that the run left beside its inputs."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0].startswith(("set", "."))
    }


def clear(folder: Path) -> None:
    """Removes what a run made."""
    shutil.rmtree(folder / "set")
    for path in folder.glob("set.*"):
        path.unlink()


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_no_byte(
    tmp_path: Path, tokenizer_path: Path
) -> None:
    make_project(tmp_path, tokenizer_path)
    started = time.monotonic()
    subprocess.run(RUN, cwd=tmp_path, check=True, capture_output=True)
    seconds = time.monotonic() - started
    expected = outcome(tmp_path)
    assert {"set/manifest.json", "set/train-00000.parquet", "set.rejects.jsonl"} <= set(expected)
    clear(tmp_path)
    rng = random.Random(7)  # noqa: S311
    killed = resumed = 0
    for attempt in range(3 * KILLS):
        process = subprocess.Popen(
            RUN, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(timeout=rng.uniform(0.05, 1) * seconds)
        except subprocess.TimeoutExpired:
            # Now the run alone, whose workers have to follow it, now all of them at once.
            if attempt % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            killed += 1
        finished = subprocess.run(RUN, cwd=tmp_path, check=True, capture_output=True, text=True)
        resumed += "going on with the run" in finished.stderr
        assert outcome(tmp_path) == expected
        clear(tmp_path)
        if killed == KILLS:
            break
    assert killed == KILLS
    assert resumed > KILLS // 4


def interrupted(folder: Path) -> tuple[int, str]:
    """A run that gets Ctrl-C once it has finished a piece: its exit code and what it said."""
    process = subprocess.Popen(
        RUN, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob(".set.work/*/prepare-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the run and its workers
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, said


def test_ctrl_c_ends_a_run_with_one_line_and_the_same_command_goes_on(
    tmp_path: Path, tokenizer_path: Path
) -> None:
    make_project(tmp_path, tokenizer_path)
    for _ in range(3):
        code, said = interrupted(tmp_path)
        if code == 130:
            break
        shutil.rmtree(tmp_path / "set")  # the run was over before the signal came
    assert code == 130
    (line,) = said.splitlines()
    assert line.endswith("interrupted; what is finished is kept, give the same command to go on")
    finished = subprocess.run(RUN, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "going on with the run" in finished.stderr
    assert (tmp_path / "set" / "manifest.json").exists()
