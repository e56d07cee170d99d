"""The command line, as a user types it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HELLO = '{"messages": [{"role": "user", "content": "Hello"}]}\n'


def run(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ochat_templates", *map(str, arguments)]
    return subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, encoding="utf-8"
    )


def test_list_and_show_name_every_template_and_its_rule() -> None:
    assert "openchat_v3.1_llama2\topenchat_v3.1" in run("list").stdout
    shown = json.loads(run("show", "openchat_3.5").stdout)
    assert shown["condition"]["inference_default"] == "GPT4 Correct"


def test_encode_writes_ids_and_one_weight_an_id(sentencepiece_file: Path) -> None:
    chat = '{"items": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "é"}]}\n'
    result = run("encode", "openchat_v3.2", sentencepiece_file, given=chat + "\n" + chat)
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first == second
    assert len(first["ids"]) == len(first["weights"])
    assert set(first["weights"]) == {0.0, 1.0}
    prompt = run("encode", "openchat_v3.2", sentencepiece_file, "--prompt", given=HELLO)
    assert list(json.loads(prompt.stdout)) == ["ids"]


BAD = {
    "unknown template": ("openchat_v3.3", HELLO, "did you mean"),
    "no json": ("openchat_v3.2", HELLO + "{oops\n", "standard input, line 2: not valid JSON"),
    "too deep": ("openchat_v3.2", "[" * 200_000, "not valid JSON"),
    "unknown role": ("openchat_v3.2", HELLO.replace("user", "alien"), "unknown role 'alien'"),
    "surrogate": ("openchat_v3.2", HELLO.replace("Hello", "\\ud800"), "lone surrogate"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_exit_status_1(name: str, sentencepiece_file: Path) -> None:
    template, given, message = BAD[name]
    result = run("encode", template, sentencepiece_file, given=given)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_input_that_is_no_utf8_is_said(sentencepiece_file: Path) -> None:
    command = [sys.executable, "-m", "ochat_templates", "encode", "openchat_v3.2"]
    result = subprocess.run(
        [*command, str(sentencepiece_file)], input=b"\xff\n", capture_output=True, check=False
    )
    assert result.returncode == 1
    assert b"not UTF-8" in result.stderr


def test_a_full_disk_is_one_sentence(sentencepiece_file: Path) -> None:
    command = [sys.executable, "-m", "ochat_templates", "encode", "openchat_v3.2"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*command, str(sentencepiece_file)],
            input=HELLO,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == "ochat-templates: cannot write the output: No space left on device\n"


def test_a_closed_pipe_ends_quietly(sentencepiece_file: Path) -> None:
    words = [sys.executable, "-m", "ochat_templates", "encode", "openchat_v3.2"]
    line = f"{shlex.join([*words, str(sentencepiece_file)])} | head -1"
    result = subprocess.run(
        line, shell=True, input=HELLO * 20000, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""


def test_importing_the_package_loads_no_library_beside_pythons_own() -> None:
    code = (
        "import sys; before = set(sys.modules); import ochat_templates; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names - {'ochat_templates'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
