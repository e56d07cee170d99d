"""Every command line that OpenChat published still works, option by option."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from ochat_serve import SetupError, legacy, open_model_folder
from ochat_serve import __main__ as command
from ochat_serve.old_flags import in_todays_words

# The commands of the table of 2023, and of the paragraph on serving online.
PUBLISHED = [
    "--model-type openchat_v3.2 --model M --engine-use-ray --worker-use-ray "
    "--max-num-batched-tokens 5120",
    "--model-type openchat_v3.1_llama2 --model M --engine-use-ray --worker-use-ray "
    "--max-num-batched-tokens 5120 --tensor-parallel-size 2",
    "--model-type openchat_v2 --model M --engine-use-ray --worker-use-ray",
    "--model-type openchat_8192 --model M --engine-use-ray --worker-use-ray",
    "--model-type opencoder --model=M --engine-use-ray --worker-use-ray",
    "--model-type openchat_v3.2 --model M --api-keys sk-KEY1 sk-KEY2 --disable-log-requests "
    "--disable-log-stats --log-file openchat.log",
    "--model M --model-type openchat --host localhost --port 18888 --stream-period 6 "
    "--enable-sys-prompt --log-max-mb 128 --log-max-count=10 --swap-space 4 --max-log-len 100 "
    """--allow-credentials --allowed-methods '["*"]' --allowed-headers '["*"]' """
    """--allowed-origins '["https://a.example", "https://b.example"]' """
    "--tokenizer M --tokenizer-mode auto --use-np-weights --use-dummy-weights",
]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, str, list[str]]]:
    """What each command would have served."""
    seen: list[tuple[object, str, list[str]]] = []

    def remember(arguments: object, engine_name: str, further: list[str]) -> int:
        seen.append((arguments, engine_name, list(further)))
        return 0

    monkeypatch.setattr(command, "run", remember)
    monkeypatch.setattr(legacy, "run", remember)
    return seen


@pytest.mark.parametrize("line", PUBLISHED)
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_published_command_is_understood(
    started: list[tuple[object, str, list[str]]],
    capsys: pytest.CaptureFixture[str],
    line: str,
    engine: str,
) -> None:
    assert legacy.main([*shlex.split(line), "--engine", engine]) == 0
    arguments, name, further = started[-1]
    assert (getattr(arguments, "model", ""), name) == ("M", engine)
    assert getattr(arguments, "model_type", "").startswith("open")
    of_vllm = [
        word for word in ("--max-num-batched-tokens", "--tensor-parallel-size") if word in line
    ]
    assert [w for w in further if w.startswith("--")] == (of_vllm if engine == "vllm" else [])
    said = capsys.readouterr().err.splitlines()
    for flag in {word.partition("=")[0] for word in shlex.split(line) if word.startswith("--")}:
        about = [each for each in said if each.startswith(f"{flag}: ")]
        gone = in_todays_words([flag, "x"])[1] or flag == "--allowed-origins"
        assert len(about) == (1 if gone else 0), flag
    if "--allowed-origins" in line:
        assert getattr(arguments, "allowed_origins", []) == [
            "https://a.example",
            "https://b.example",
        ]


@pytest.mark.parametrize("line", PUBLISHED)
def test_the_newer_command_understands_the_same_options_with_vllm(
    started: list[tuple[object, str, list[str]]], line: str
) -> None:
    assert command.main([*shlex.split(line), "--engine", "vllm"]) == 0
    assert getattr(started[-1][0], "model", "") == "M"
    gone = ("--engine-use-ray", "--worker-use-ray", "--disable-log-requests", "--swap-space", "4")
    assert not set(gone) & set(started[-1][2])


def test_options_of_today_are_left_as_they_are() -> None:
    words = ["folder", "--port", "8000", "--api-keys", "a", "b", "--allowed-origins", "*"]
    assert in_todays_words(words) == (words, [])
    assert in_todays_words(["--model"]) == (["--model"], [])
    odd = ["m", "--allowed-origins", json.dumps({"a": 1})]
    assert in_todays_words(odd) == (odd, [])


def test_the_published_command_needs_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        legacy.main(["--model-type", "openchat_v3.2"])
    assert ended.value.code == 2
    assert "--model" in capsys.readouterr().err


def test_a_name_on_the_hub_is_answered_with_how_to_get_it() -> None:
    """The published commands name models there; nothing is downloaded unasked."""
    with pytest.raises(SetupError) as refused:
        open_model_folder(Path("openchat/openchat_v3.2"), model_type="openchat_v3.2")
    wanted = "hf download openchat/openchat_v3.2 --local-dir openchat_v3.2"
    assert wanted in str(refused.value)
