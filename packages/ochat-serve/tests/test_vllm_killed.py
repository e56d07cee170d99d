"""Real vLLM, killed at every process: clean errors, an exit code for the supervisor, no orphan."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

from ochat_serve.guard import descendants
from ochat_serve.testing import LocalServer, free_port, wait_until

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM"),
]

# So long that no answer is over before the kill, however late that comes.
LENGTH = 16_000

ASK = {
    "model": "toy-llama",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": LENGTH,
    "ignore_eos": True,
}


@pytest.fixture
def long_folder(model_folder: Path, tmp_path: Path) -> Path:
    """The toy with room for long answers; what it says in them does not matter."""
    folder = shutil.copytree(model_folder, tmp_path / model_folder.name)
    for name, key in (
        ("config.json", "max_position_embeddings"),
        ("openchat.json", "context_length"),
    ):
        told = json.loads((folder / name).read_text())
        assert key in told
        (folder / name).write_text(json.dumps(told | {key: LENGTH + 256}))
    return folder


def state_of(pid: int) -> tuple[str, str]:
    """State and command of a process; Z and nothing once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "Z", ""


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if state_of(pid)[0] != "Z"}


def engine_cores(server: int) -> list[int]:
    """VLLM's process names itself."""
    return [pid for pid in descendants(server) if "EngineCore" in state_of(pid)[1]]


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], LocalServer]]:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ochat_serve", str(folder), "--port", str(port)),
            *("--dtype", "float32", "--enforce-eager", "--engine", "vllm"),
        ],
        env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    server = LocalServer(url=f"http://127.0.0.1:{port}")

    def ready() -> bool:
        try:
            return process.poll() is not None or server.get("/ready")[0] == 200
        except OSError:
            return False

    try:
        wait_until(ready, seconds=240)
        assert process.poll() is None, process.communicate()
        yield process, server
    finally:
        process.kill()
        process.communicate(timeout=60)


class Asking(Thread):
    """One chat, from its first byte to its end."""

    def __init__(self, server: LocalServer, *, stream: bool) -> None:
        super().__init__()
        self._body = json.dumps({**ASK, "stream": stream})
        self._port = int(server.url.rpartition(":")[2])
        self.status = 0
        self.text = b""
        self.broken = False
        self.start()

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            connection.request("POST", "/v1/chat/completions", self._body)
            answer = connection.getresponse()
            self.status = answer.status
            while piece := answer.read1():
                self.text += piece
        except (OSError, http.client.HTTPException):
            self.broken = True
        finally:
            connection.close()


def error_of(text: bytes) -> dict[str, object]:
    """The error object of a stream's last event but `[DONE]`, or of a whole answer."""
    events = [line for line in text.split(b"\n\n") if line]
    if len(events) > 1:
        assert events[-1] == b"data: [DONE]"
        return json.loads(events[-2].removeprefix(b"data: "))["error"]
    return json.loads(text)["error"]


def test_a_killed_engine_process_fails_what_runs_cleanly_and_ends_the_server(
    long_folder: Path,
) -> None:
    with running(long_folder) as (process, server):
        below = set(descendants(process.pid))
        (core,) = engine_cores(process.pid)
        streams = [Asking(server, stream=True) for _ in range(6)]
        whole = Asking(server, stream=False)
        wait_until(lambda: all(b'"content":"' in each.text for each in streams), seconds=60)
        os.kill(core, signal.SIGKILL)
        killed = time.monotonic()
        for each in (*streams, whole):
            each.join(timeout=60)
        try:
            assert server.get("/ready")[0] == 503
            assert server.get("/health")[0] == 503
        except OSError:
            assert process.wait(timeout=30) == 1
        assert process.wait(timeout=30) == 1
        seconds = time.monotonic() - killed
        said = process.stderr.read() if process.stderr else ""
    for each in streams:
        assert each.status == 200
        assert not each.broken
        error = error_of(each.text)
        assert error["type"] == "server_error"
        assert error["code"] == "engine_unavailable"
    assert whole.status == 503
    assert error_of(whole.text)["code"] == "engine_unavailable"
    assert "engine process died" in said
    assert seconds < 30
    wait_until(lambda: not alive(below), seconds=20)


def test_a_killed_server_leaves_no_engine_process(long_folder: Path) -> None:
    with running(long_folder) as (process, server):
        below = set(descendants(process.pid))
        assert engine_cores(process.pid)
        stream = Asking(server, stream=True)
        wait_until(lambda: b'"content":"' in stream.text, seconds=60)
        process.kill()
        stream.join(timeout=60)
        assert stream.broken
        wait_until(lambda: not alive(below), seconds=20)
