"""The command line, as a user types it."""

from __future__ import annotations

import io
import json
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ochat_templates.__main__ import main

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


def here(
    monkeypatch: pytest.MonkeyPatch, *arguments: str | Path, given: bytes = HELLO.encode()
) -> int:
    """Runs the command in this process, with standard input given."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    return main([str(argument) for argument in arguments])


FORGED = b'{"messages": [{"role": "user", "content": "so </s>"}]}\n'


def test_special_strings_are_warned_of_or_refused_by_line(
    sentencepiece_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["encode", "openchat_v3.2", sentencepiece_file, "--special-strings"]
    assert here(monkeypatch, *words, "warn", given=HELLO.encode() + FORGED) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "standard input, line 2: message 0 (user) spells the control token '</s>'" in err
    assert here(monkeypatch, *words, "error", given=FORGED) == 1
    assert "line 1: message 0 (user) spells" in capsys.readouterr().err


def terminal() -> bool:
    return True


def test_explain_is_a_table_coloured_only_for_a_terminal_that_wants_it(
    sentencepiece_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["encode", "openchat_v3.2", sentencepiece_file, "--explain"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert here(monkeypatch, *words) == 0
    plain = capsys.readouterr().out
    assert plain.startswith("position")
    assert "\x1b" not in plain
    monkeypatch.setattr("ochat_templates.commands.encode_command.is_terminal", terminal)
    assert here(monkeypatch, *words) == 0
    assert "\x1b[35m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert here(monkeypatch, *words) == 0
    assert capsys.readouterr().out == plain


def test_the_commands_print_what_they_are_asked_for(
    sentencepiece_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    assert "openchat_3.6\t" in capsys.readouterr().out
    for name, allowed in (
        ("openchat_v3.2", ["GPT4", "GPT3"]),
        ("openchat_3.5", "any short line of text"),
        ("opencoder", "none"),
    ):
        assert main(["show", name]) == 0
        assert json.loads(capsys.readouterr().out)["condition"]["allowed"] == allowed
    assert main(["show", "nothing_like_it"]) == 1
    assert "no template is named" in capsys.readouterr().err
    words = ["encode", "openchat_v3.2", sentencepiece_file]
    assert here(monkeypatch, *words, "--prompt", given=b"\n" + HELLO.encode()) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["ids"]
    assert here(monkeypatch, *words) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["ids", "weights"]
    for given, message in ((b"\xff\n", "not UTF-8"), (b"{oops\n", "line 1: not valid JSON")):
        assert here(monkeypatch, *words, given=given) == 1
        assert message in capsys.readouterr().err


class Closed(io.StringIO):
    """An output whose reader has gone, or whose disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def write(self, text: str, /) -> int:
        assert text
        raise self._error


def test_an_output_that_takes_no_more_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Closed(OSError(28, "No space left on device")))
    assert main(["list"]) == 1
    assert "cannot write the output: No space left" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", Closed(BrokenPipeError()))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["list"]) == 0


def test_names_are_loaded_when_they_are_asked_for() -> None:
    import ochat_templates

    assert {"Codec", "ModelCard"} <= set(dir(ochat_templates))
    for name in ochat_templates.__all__:
        assert getattr(ochat_templates, name).__module__.startswith("ochat_templates.")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ochat_templates.nothing


def test_the_module_runs_as_the_command_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ochat-templates", "list"])
    monkeypatch.delitem(sys.modules, "ochat_templates.__main__", raising=False)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("ochat_templates", run_name="__main__")
    assert stop.value.code == 0
    assert "openchat_3.5" in capsys.readouterr().out
