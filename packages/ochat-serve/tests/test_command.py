"""The command as people start it, in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ochat_serve.testing import LocalServer, free_port, wait_until

# Measuring which lines run slows a start down.
UNMEASURED = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
Start = Callable[..., "Command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A running command."""

    process: subprocess.Popen[str]
    server: LocalServer

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; gives exit code and everything said on standard error."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start() -> Generator[Start]:
    """Start a server and wait until it is ready."""
    started: list[Command] = []

    def run(*arguments: str, module: str = "ochat_serve") -> Command:
        port = free_port()
        command = Command(
            process=subprocess.Popen(
                [sys.executable, "-m", module, *arguments, "--port", str(port)],
                stderr=subprocess.PIPE,
                text=True,
            ),
            server=LocalServer(url=f"http://127.0.0.1:{port}"),
        )
        started.append(command)
        wait_until(lambda: command.process.poll() is not None or is_ready(command), seconds=120)
        assert command.process.poll() is None, command.process.communicate()[1]
        return command

    yield run
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
        command.process.communicate()


def is_ready(command: Command) -> bool:
    try:
        return command.server.get("/ready")[0] == 200
    except OSError:
        return False


def fails(*arguments: str, module: str = "ochat_serve") -> tuple[int, str]:
    """Run a command that must end by itself; gives exit code and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def helped(*interpreter_options: str) -> tuple[int, str]:
    """Exit code of --help, and what it printed on both channels."""
    done = subprocess.run(
        [sys.executable, *interpreter_options, "-m", "ochat_serve", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=UNMEASURED,
    )
    return done.returncode, done.stdout + done.stderr


def ask(text: str, **more: object) -> dict[str, object]:
    return {"model": "openchat_v3.2", "messages": [{"role": "user", "content": text}], **more}


def open_stream(server: LocalServer, body: dict[str, object]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    raw = json.dumps({**body, "stream": True})
    connection.request("POST", "/v1/chat/completions", raw, {"content-type": "application/json"})
    return connection


def test_help_is_instant() -> None:
    seconds = []
    for _ in range(5):
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, said = helped()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
        assert code == 0
        assert "examples:" in said
    # The processor's time, the best of five: other programs on the machine are not measured.
    assert min(seconds) < 0.3


def test_help_loads_nothing_heavy() -> None:
    _, said = helped("-X", "importtime")
    for heavy in ("torch", "transformers", "fastapi", "uvicorn", "pydantic", "sentencepiece"):
        assert f" {heavy}\n" not in said


def test_the_embedded_engine_serves_the_folder_and_says_what_it_does(
    start: Start, model_folder: Path
) -> None:
    command = start(str(model_folder), "--engine", "transformers", "--threads", "1")
    status, answer = command.server.post(
        "/v1/chat/completions", ask("Hello", temperature=0, max_tokens=5)
    )
    assert (status, answer["usage"]["completion_tokens"]) == (200, 5)
    code, said = command.stop()
    assert code == 0
    for expected in (
        "openchat_v3.2, context 256 tokens",
        "toy-llama",
        "fingerprint",
        "pip install 'ochat-serve[vllm]'",
        f"{command.server.url}/v1",
    ):
        assert expected in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_running_stream_finish_and_the_exit_code_is_zero(
    start: Start, model_folder: Path, number: int
) -> None:
    command = start(str(model_folder), "--engine", "scripted")
    connection = open_stream(command.server, ask("The quick brown fox jumps over it " * 4))
    response = connection.getresponse()
    response.read(20)
    command.process.send_signal(number)
    rest = response.read()
    connection.close()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"stop"' in rest
    _, said = command.process.communicate(timeout=30)
    assert command.process.returncode == 0
    assert "Traceback" not in said


def test_answers_that_take_too_long_are_cut_off_at_the_shutdown_timeout(
    start: Start, model_folder: Path
) -> None:
    command = start(str(model_folder), "--engine", "scripted", "--shutdown-timeout", "1")
    connection = open_stream(command.server, ask("The quick brown fox jumps over it " * 15))
    connection.getresponse().read(20)
    began = time.monotonic()
    code, _ = command.stop()
    connection.close()
    assert code == 0
    assert time.monotonic() - began < 5


def test_an_idle_keep_alive_connection_does_not_delay_the_exit(
    start: Start, model_folder: Path
) -> None:
    command = start(str(model_folder), "--engine", "scripted")
    connection = http.client.HTTPConnection(command.server.url.removeprefix("http://"))
    connection.request("GET", "/health")
    connection.getresponse().read()
    began = time.monotonic()
    assert command.stop()[0] == 0
    connection.close()
    assert time.monotonic() - began < 3


def test_a_port_in_use_is_one_sentence_before_the_model_is_loaded(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = fails(str(model_folder), "--port", port)
    assert code == 1
    assert said.count("\n") == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in said
    assert "--port" in said


def test_a_public_address_needs_keys(model_folder: Path) -> None:
    everywhere = "0.0.0.0"  # noqa: S104 (refused, which is the point)
    code, said = fails(str(model_folder), "--host", everywhere, "--port", str(free_port()))
    assert code == 1
    assert said.count("\n") == 1
    assert "--api-keys" in said
    assert "--insecure" in said


def test_keys_of_the_command_line_close_the_api(start: Start, model_folder: Path) -> None:
    command = start(str(model_folder), "--engine", "scripted", "--api-keys", "sk-one", "sk-two")
    assert command.server.get("/v1/models")[0] == 401
    assert command.server.get("/v1/models", key="sk-two")[0] == 200
    _, said = command.stop()
    assert "sk-one" not in said


@pytest.mark.parametrize("word", ["bench", "chat"])
def test_reserved_words_are_no_folders(word: str) -> None:
    code, said = fails(word)
    assert code == 2
    assert f"ochat-serve {word}" in said
    assert "URL" in said


def test_unknown_arguments_are_refused_where_no_engine_takes_them(model_folder: Path) -> None:
    code, said = fails(str(model_folder), "--engine", "scripted", "--tensor-parallel-size", "2")
    assert code == 2
    assert "--tensor-parallel-size" in said


@pytest.mark.parametrize("port", ["x", "70000", "-1"])
def test_a_port_that_is_none_is_a_usage_error(port: str) -> None:
    code, said = fails("model", f"--port={port}")
    assert code == 2
    assert "argument --port: expected a whole number" in said


def test_the_published_command_still_serves(
    start: Start, model_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "openchat.log"
    command = start(
        *("--model-type", "openchat_v3.2", "--model", str(model_folder), "--engine", "scripted"),
        *("--engine-use-ray", "--worker-use-ray", "--disable-log-requests", "--disable-log-stats"),
        *("--max-num-batched-tokens", "5120", "--tensor-parallel-size", "2"),
        *("--log-file", str(log), "--api-keys", "sk-KEY1", "sk-KEY2"),
        module="ochat.serving.openai_api_server",
    )
    body = ask("Hello")
    assert command.server.post("/v1/chat/completions", body)[0] == 401
    assert command.server.post("/v1/chat/completions", body, key="sk-KEY1")[0] == 200
    code, said = command.stop()
    assert code == 0
    lines = said.splitlines()
    for flag in (
        "--engine-use-ray",
        "--worker-use-ray",
        "--disable-log-requests",
        "--disable-log-stats",
        "--max-num-batched-tokens 5120 --tensor-parallel-size 2",
    ):
        assert sum(line.startswith(f"{flag}: ") for line in lines) == 1
    assert json.loads(log.read_text().splitlines()[-1])["outcome"] == "stop"


def test_the_published_command_adds_no_package_of_the_name_ochat() -> None:
    import ochat_serve

    source = Path(ochat_serve.__file__).parents[1] / "ochat"
    assert [p.name for p in source.rglob("__init__.py")] == []
    assert (source / "serving" / "openai_api_server.py").is_file()


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, ochat_serve; "
        "assert ochat_serve.SamplingParams and ochat_serve.ScriptedEngine; "
        "print([m for m in ('torch','transformers','fastapi','vllm','pydantic','numpy') "
        "if m in sys.modules]); ochat_serve.build_app; print('fastapi' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"]
