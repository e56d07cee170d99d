"""Keys, limits, bodies, metrics, options and the guard: what an operator relies on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import openai
import pytest

from ochat_serve import ScriptedEngine, ServerSettings, SetupError
from ochat_serve.config_file import apply
from ochat_serve.keys import KeyLimits, KeyRing, new_key
from ochat_serve.options import build_parser
from ochat_serve.testing import LocalServer, wait_until

ASK: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]}


def raw_call(server: LocalServer, head: str, *, seconds: float = 20) -> str:
    """Send bytes as they are and read until the server closes or is silent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
            answer += part
        return answer.decode()


def test_a_key_is_added_and_revoked_while_running(
    serve: Callable[..., LocalServer], tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    first, line = new_key("anna")
    second, other = new_key("ben")
    file.write_text(f"# keys\n{line}\n")
    server = serve(settings=ServerSettings(key_file=file))
    assert server.get("/v1/models", key=first)[0] == 200
    assert server.get("/v1/models", key=second)[0] == 401
    file.write_text(f"{other} rpm=2\n")
    wait_until(lambda: server.get("/v1/models", key=first)[0] == 401, seconds=5)
    assert server.get("/v1/models", key=second)[0] == 200
    # A broken file locks nobody out and lets nobody in.
    file.write_text("sk-in-the-clear\n")
    time.sleep(1.2)
    assert server.get("/v1/models", key=second)[0] == 200
    assert server.get("/v1/models", key=first)[0] == 401
    file.write_text("")
    wait_until(lambda: server.get("/v1/models", key=second)[0] == 401, seconds=5)


@pytest.mark.parametrize(
    "text", ["sk-clear", "anna xyz", f"anna {'0' * 64} rpm=0", f"a {'0' * 64}\na {'1' * 64}"]
)
def test_a_wrong_key_file_stops_the_start_and_shows_no_key(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(SetupError) as caught:
        KeyRing(file=file)
    assert f"{file}:" in str(caught.value)
    assert "sk-clear" not in str(caught.value)


def test_each_keys_cached_prefixes_are_its_own(serve: Callable[..., LocalServer]) -> None:
    engine = ScriptedEngine()
    server = serve(engine, ServerSettings(api_keys=("sk-one", "sk-two")))
    for key in ("sk-one", "sk-two", "sk-one"):
        server.post("/v1/chat/completions", ASK, key=key)
    one, two, again = (request.sampling.cache_salt for request in engine.requests)
    assert one == again != two
    assert "sk-one" not in one


def test_requests_a_minute_are_limited_by_key_and_say_when_to_come_again(
    serve: Callable[..., LocalServer], connect: Callable[..., openai.OpenAI]
) -> None:
    settings = ServerSettings(api_keys=("sk-one", "sk-two"), limits=KeyLimits(rpm=2, tpm=1000))
    server = serve(settings=settings)
    raw = connect(server, "sk-one").chat.completions.with_raw_response
    left = [raw.create(**ASK).headers["x-ratelimit-remaining-requests"] for _ in range(2)]
    assert left == ["1", "0"]
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as caught:
            raw.create(**ASK, stream=stream)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 30
        assert caught.value.code == "rate_limit_exceeded"
    assert server.post("/v1/chat/completions", ASK, key="sk-two")[0] == 200


def test_tokens_a_minute_are_accounted_after_the_answer(
    serve: Callable[..., LocalServer],
) -> None:
    server = serve(ScriptedEngine([5] * 90), ServerSettings(limits=KeyLimits(tpm=60)))
    statuses = [server.post("/v1/chat/completions", ASK)[0] for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        (ServerSettings(max_running=2), 503),
        (ServerSettings(limits=KeyLimits(concurrency=2)), 429),
    ],
)
def test_what_is_too_much_is_refused_before_headers_and_the_rest_is_served(
    serve: Callable[..., LocalServer], settings: ServerSettings, refusal: int
) -> None:
    engine = ScriptedEngine([5] * 40, tokens_per_second=40)
    server = serve(engine, settings)

    def status(stream: bool) -> int:
        head = json.dumps({**ASK, "stream": stream})
        answer = raw_call(
            server,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            f"content-length: {len(head)}\r\n\r\n{head}",
        )
        code = int(answer.split()[1])
        assert code == 200 or "retry-after: 1" in answer
        return code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(status, [True, False] * 4))
    assert codes == [200, 200, *[refusal] * 6]
    wait_until(lambda: engine.running == 0)
    assert server.post("/v1/chat/completions", {**ASK, "max_tokens": 1})[0] == 200


def test_half_a_body_is_cut_off(serve: Callable[..., LocalServer]) -> None:
    server = serve(settings=ServerSettings(body_seconds=0.3, max_body_bytes=1000))
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{{"
    assert raw_call(server, head.format(500)).split()[1] == "408"
    assert raw_call(server, head.format(10**9)).split()[1] == "413"
    assert server.get("/health")[0] == 200


def test_metrics_count_what_happened_and_name_no_key(serve: Callable[..., LocalServer]) -> None:
    server = serve(ScriptedEngine([5] * 9), ServerSettings(api_keys=("sk-one",)))
    server.post("/v1/chat/completions", {**ASK, "max_tokens": 3}, key="sk-one")
    server.post("/v1/chat/completions", {**ASK, "model": "other"}, key="sk-one")
    server.get("/v1/nothing/at/all", key="sk-one")
    assert server.get("/metrics")[0] == 401
    text = _metrics(server, "sk-one")
    path = "/v1/chat/completions"
    for line in (
        f'ochat_serve_requests_total{{path="{path}",status="200",key="key-1"}} 1',
        f'ochat_serve_requests_total{{path="{path}",status="404",key="key-1"}} 1',
        'ochat_serve_requests_total{path="other",status="404",key="key-1"} 1',
        'ochat_serve_tokens_total{kind="completion",key="key-1"} 3',
        'ochat_serve_answers_total{outcome="length"} 1',
        "ochat_serve_first_token_seconds_count 1",
        "ochat_serve_running 0",
    ):
        assert line in text.splitlines()
    assert "sk-one" not in text


def test_the_dashboard_asks_only_for_what_is_measured(serve: Callable[..., LocalServer]) -> None:
    server = serve(settings=ServerSettings(api_keys=("sk-one",)))
    server.post("/v1/chat/completions", ASK, key="sk-one")
    measured = set(re.findall(r"^(ochat_serve_\w+)", _metrics(server, "sk-one"), re.MULTILINE))
    text = (resources.files("ochat_serve") / "grafana.json").read_text()
    asked = set(re.findall(r"ochat_serve_\w+", text))
    assert len(json.loads(text)["panels"]) == 8
    assert len(asked) >= 7
    assert asked <= measured


def _metrics(server: LocalServer, key: str) -> str:
    from urllib.request import Request, urlopen

    request = Request(f"{server.url}/metrics", headers={"authorization": f"Bearer {key}"})  # noqa: S310
    with urlopen(request, timeout=20) as answer:  # noqa: S310 (this machine)
        return answer.read().decode()


def test_every_request_has_one_line_and_contents_only_when_asked(
    serve: Callable[..., LocalServer], tmp_path: Path
) -> None:
    for content in (False, True):
        file = tmp_path / f"log-{content}"
        settings = ServerSettings(log_file=file, log_content=content, api_keys=("sk-one",))
        server = serve(ScriptedEngine(), settings)
        server.post("/v1/chat/completions", ASK, key="sk-one")
        server.post("/v1/chat/completions", b"{", key="sk-one")
        server.post("/v1/chat/completions", ASK, key="sk-wrong")
        wait_until(lambda file=file: file.read_text().count("\n") == 3)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [(x["status"], x["key"], x["error"]) for x in lines] == [
            (200, "key-1", None),
            (400, "key-1", "invalid_json"),
            (401, "", "invalid_api_key"),
        ]
        assert ("texts" in lines[0]) is content
        assert "sk-" not in file.read_text()
    assert lines[0]["texts"][0].endswith("Hi")


def test_other_origins_are_allowed_only_when_named(serve: Callable[..., LocalServer]) -> None:
    ask = (
        "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\n"
        "access-control-request-method: POST\r\nconnection: close\r\n"
        "access-control-request-headers: authorization\r\n\r\n"
    )
    closed = serve(settings=ServerSettings(api_keys=("k",)))
    assert "access-control-allow-origin" not in raw_call(closed, ask)
    origins = ("https://a.example",)
    opened = serve(settings=ServerSettings(api_keys=("k",), allowed_origins=origins))
    answer = raw_call(opened, ask)
    assert answer.split()[1] == "200"
    assert "access-control-allow-origin: https://a.example" in answer
    assert "access-control-allow-origin" not in raw_call(opened, ask.replace("a.ex", "b.ex"))


def test_head_answers_like_get_without_a_body(serve: Callable[..., LocalServer]) -> None:
    server = serve()
    for path, status in (("/health", "200"), ("/v1/models", "200"), ("/nothing", "404")):
        answer = raw_call(server, f"HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert answer.split()[1] == status
        assert answer.endswith("\r\n\r\n")


def options(*argv: str, **environment: str) -> Namespace:
    parser = build_parser()
    words = ["folder", *argv]
    apply(parser, words, environment)
    return parser.parse_args(words)


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nhost = "::1"\napi-keys = ["a", "b"]\nlog-content = true\n')
    chosen = options("--config", str(file), "--host", "h", OCHAT_SERVE_PORT="2")
    assert (chosen.port, chosen.host, chosen.api_keys) == (2, "h", ["a", "b"])
    assert chosen.log_content is True
    assert options(OCHAT_SERVE_API_KEYS="x y", OCHAT_SERVE_CONFIG=str(file)).api_keys == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", "prot is no option"),
        ("port = 70000", "port in"),
        ('engine = "best"', "engine in"),
        ("port = [1, 2]", "port in"),
        ('insecure = "perhaps"', "insecure in"),
        ("port = ", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(SetupError, match=named):
        options("--config", str(file))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc")
@pytest.mark.parametrize("orderly", [False, True])
def test_no_engine_process_outlives_a_killed_server_and_none_is_killed_in_order(
    orderly: bool,
) -> None:
    code = (
        "import subprocess, sys\n"
        "from ochat_serve.guard import OrphanGuard\n"
        "child = subprocess.Popen(['sleep', '60'], stdin=-3, stdout=-3)\n"
        "guard = OrphanGuard()\n"
        "print(child.pid, guard._child.pid, flush=True)\n"
        "sys.stdin.readline(); guard.release(); print('released', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    child, guard = map(int, server.stdout.readline().split())
    if orderly:
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "released\n"
    server.send_signal(signal.SIGKILL)
    server.communicate()
    wait_until(lambda: not _lives(guard), seconds=5)
    if orderly:
        assert _lives(child)
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: not _lives(child), seconds=5)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
