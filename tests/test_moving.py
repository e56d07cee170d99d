"""The page for those who come from the original names every flag, and is right about the kept."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from ochat_serve import old_flags

PAGE = Path(__file__).resolve().parents[1] / "docs/moving-from-openchat.md"
MODULES = {
    "server": "ochat.serving.openai_api_server",
    "trainer": "ochat.training_deepspeed.train",
    "data command": "ochat.data.generate_dataset",
    "evaluation": "ochat.evaluation.run_eval",
}
FLAG = re.compile(r"--[a-z][a-z0-9_-]*")


@cache
def help_of(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def taken(module: str) -> set[str]:
    """The flags in a command's usage, each by its first spelling."""
    return set(FLAG.findall(help_of(module).split("\n\n")[0])) - {"--help"}


def rows(title: str) -> list[tuple[str, str]]:
    """First and second column of the table below `## Flags of the TITLE`."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## Flags of the {title}\n")[1]
    table = section.split("\n## ")[0]
    return re.findall(r"^\| (`--[^|]+) \| ([^|]+) \|$", table, re.MULTILINE)


@pytest.mark.parametrize("title", MODULES)
def test_every_flag_of_a_published_command_is_explained(title: str) -> None:
    explained = {flag for first, _ in rows(title) for flag in FLAG.findall(first)}
    assert taken(MODULES[title]) - explained == set()


@pytest.mark.parametrize("title", MODULES)
def test_what_is_said_to_be_the_same_is_taken(title: str) -> None:
    known = set(FLAG.findall(help_of(MODULES[title])))
    if title == "server":  # the published command takes all that the new one does
        known |= taken("ochat_serve")
    kept = [FLAG.findall(first) for first, now in rows(title) if now.startswith("the same")]
    assert kept
    assert {flag for flags in kept for flag in flags} <= known


@pytest.mark.parametrize("title", ["trainer", "data command", "evaluation"])
def test_what_is_said_to_be_gone_is_not_taken(title: str) -> None:
    gone = [FLAG.findall(first) for first, now in rows(title) if re.match("gone|not taken", now)]
    assert not {flag for flags in gone for flag in flags} & taken(MODULES[title])


def test_what_is_gone_of_the_server_is_answered_by_a_line() -> None:
    gone = [FLAG.findall(first) for first, now in rows("server") if now.startswith("gone")]
    flags = [flag for row in gone for flag in row]
    assert set(flags) == set(vars(old_flags)["_GONE"])
    for flag in flags:
        words, notices = old_flags.in_todays_words(["--model", "folder", f"{flag}=value"])
        assert words == ["folder"]
        assert [notice.split(":")[0] for notice in notices] == [flag]
