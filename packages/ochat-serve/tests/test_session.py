"""A whole session over HTTPS, set up by file and environment; afterwards no log knows a key."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ochat_serve.keys import digest
from ochat_serve.testing import free_port, wait_until

SECRETS = {
    "environment": "sk-of-the-environment-1111",
    "file": "sk-of-the-file-2222",
    "wrong": "sk-of-nobody-3333",
    "clear": "sk-in-the-clear-4444",
}
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed one for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=toy", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class Session:
    """The command, and a client that trusts its certificate."""

    def __init__(self, folder: Path, place: Path, certificate: tuple[Path, Path]) -> None:
        self.port = free_port()
        self.keys = place / "keys"
        self.log = place / "requests.jsonl"
        self.said = (place / "said").open("w+")
        self.write_keys("anna")
        config = place / "serve.toml"
        config.write_text(
            f'engine = "scripted"\nmodel-type = "openchat_v3.2"\nhost = "127.0.0.1"\n'
            f"port = 1\nlog-content = true\nmax-body-bytes = 5000\nbody-timeout = 1\n"
            f'log-file = "{self.log}"\napi-key-file = "{self.keys}"\n'
            f'ssl-certfile = "{certificate[0]}"\nssl-keyfile = "{certificate[1]}"\n'
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ochat_serve", str(folder), "--config", str(config)],
            # The environment wins over the file.
            env={
                **os.environ,
                "OCHAT_SERVE_API_KEYS": SECRETS["environment"],
                "OCHAT_SERVE_PORT": str(self.port),
            },
            stdout=self.said,
            stderr=self.said,
        )
        self.trust = ssl.create_default_context(cafile=str(certificate[0]))

    def write_keys(self, *names: str) -> None:
        lines = [f"{name} {digest(SECRETS['file'] + name).hex()}\n" for name in names]
        self.keys.write_text("".join(lines))

    def status(self, method: str, path: str, body: object = None, key: str = "") -> int:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.trust, timeout=60
        )
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            connection.request(method, path, raw, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def ready(self) -> bool:
        assert self.process.poll() is None, self.output()
        try:
            return self.status("GET", "/ready") == 200
        except OSError:
            return False

    def output(self) -> str:
        self.said.seek(0)
        return self.said.read()


def test_a_session_over_https_leaves_no_key_in_any_log(
    tokenizer_file: Path, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    shutil.copy(tokenizer_file, folder / "tokenizer.model")
    session = Session(folder, tmp_path, certificate)
    try:
        wait_until(session.ready, seconds=120)
        ours, anna = SECRETS["environment"], SECRETS["file"] + "anna"
        for key in (ours, anna):
            assert session.status("POST", CHAT, BODY, key) == 200
        errors = [
            session.status("POST", CHAT, BODY),
            session.status("POST", CHAT, BODY, SECRETS["wrong"]),
            session.status("GET", f"/v1/models/{SECRETS['wrong']}", key=ours),
            session.status("GET", f"/nothing?api_key={SECRETS['wrong']}", key=ours),
            session.status("DELETE", CHAT, key=ours),
            session.status("POST", CHAT, b"{", ours),
            session.status("POST", CHAT, {**BODY, "temperature": "hot"}, ours),
            session.status("POST", CHAT, b" " * 6000, ours),
        ]
        assert errors == [401, 401, 404, 404, 405, 400, 400, 413]
        # Revoked while running; then a file with a key in the clear, which changes nothing.
        session.write_keys("bert")
        session.process.send_signal(signal.SIGHUP)
        wait_until(lambda: session.status("POST", CHAT, BODY, anna) == 401)
        session.keys.write_text(f"carl {SECRETS['clear']}\n")
        session.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "The keys from before stay" in session.output())
        assert session.status("POST", CHAT, BODY, SECRETS["file"] + "bert") == 200
        speak_plainly(session.port)
        session.process.send_signal(signal.SIGTERM)
        assert session.process.wait(60) == 0
        lines = [json.loads(line) for line in session.log.read_text().splitlines()]
        assert {200, 400, 401, 404, 405, 413} <= {line["status"] for line in lines}
        written = session.output() + session.log.read_text()
    finally:
        session.process.kill()
        session.process.wait()
        session.said.close()
    assert f"https://127.0.0.1:{session.port}/v1" in written
    # The one that was sent as part of an address is written as such, and as nothing else.
    assert SECRETS["wrong"] not in written.replace(f"/v1/models/{SECRETS['wrong']}", "")
    for name in ("environment", "file", "clear"):
        assert SECRETS[name] not in written
        assert digest(SECRETS[name]).hex() not in written


def speak_plainly(port: int) -> None:
    """HTTP with a key, to a server that speaks HTTPS: it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        key = SECRETS["environment"]
        head = f"GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}\r\n\r\n"
        connection.sendall(head.encode())
        assert b"toy" not in connection.recv(1000)
