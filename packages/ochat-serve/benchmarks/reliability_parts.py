"""The server and the clients of `reliability`: a process of its own, and plain sockets.

    python reliability_parts.py FOLDER PORT TOKENS_PER_SECOND MAX_RUNNING

is the server; which load it gets is `reliability`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

CHAT = "/v1/chat/completions"
LINE_BYTES = 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")

# The server's side.


def serve(place: Path, port: int, tokens_per_second: float, max_running: int) -> None:
    """Be the server, with a route that tells what its engine does."""
    import uvicorn

    from ochat_serve import ScriptedEngine, ServedModel, ServerSettings, build_app
    from ochat_serve.connection import patient
    from ochat_templates import load_codec

    codec = load_codec(place / "toy.model", "openchat_v3.2")
    engine = ScriptedEngine(tokens_per_second=tokens_per_second, max_model_len=100_000)
    settings = ServerSettings(max_running=max_running, body_seconds=10, client_seconds=15)
    app = build_app(engine, ServedModel.of(codec, "toy"), settings)

    @app.get("/engine")
    async def state() -> dict[str, int]:
        return {
            "running": engine.running,
            "aborted": engine.aborted,
            "tasks": len(asyncio.all_tasks()),
        }

    async def run() -> None:
        await engine.start()
        config = uvicorn.Config(
            app, port=port, log_level="error", http=patient(settings.client_seconds)
        )
        await uvicorn.Server(config).serve()

    factory = uvicorn.Config(app).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


@dataclass(slots=True)
class Server:
    """The other process."""

    pid: int
    port: int

    def engine(self) -> dict[str, int]:
        """What its engine does."""
        with urlopen(f"http://127.0.0.1:{self.port}/engine", timeout=30) as answer:
            return json.load(answer)

    def rss_mib(self) -> float:
        """Memory that it has."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * PAGE / 2**20

    def files(self) -> int:
        """Files and sockets that it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def idle(self, seconds: float) -> float:
        """How long until its engine does nothing more."""
        began = time.monotonic()
        while self.engine()["running"]:
            if time.monotonic() - began > seconds:
                raise SystemExit(f"requests still run after {seconds} seconds: {self.engine()}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began


@contextlib.contextmanager
def running(tokens_per_second: float, max_running: int = 100_000) -> Iterator[Server]:
    """A server for one row."""
    from ochat_templates.testing import train_sentencepiece

    words = [f"stream {i}: {i} {i + 1} river stone, window. GPT4 User:" for i in range(3000)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        train_sentencepiece(words, Path(place) / "toy.model", vocab_size=400)
        command = [sys.executable, __file__, place, str(port)]
        command += [str(tokens_per_second), str(max_running)]
        process = subprocess.Popen(command)  # noqa: S603
        server = Server(process.pid, port)
        try:
            while True:
                with contextlib.suppress(OSError):
                    server.engine()
                    break
                if process.poll() is not None:
                    raise SystemExit("the server did not start")
                time.sleep(0.05)
            yield server
        finally:
            process.terminate()
            process.wait(60)


# The clients' side.


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    first_seconds: float = 0.0
    chunks: int = 0


def request(text: str, **more: object) -> bytes:
    """The bytes of a chat request on a connection that stays open."""
    message = {"role": "user", "content": text}
    body = json.dumps({"model": "toy", "messages": [message], **more}).encode()
    return f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def head_of(reader: asyncio.StreamReader) -> Answer:
    """Status and headers."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:] if line)
    return Answer(status=int(lines[0].split()[1]), headers=dict(pairs))


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """A whole answer, streamed or not."""
    began = time.monotonic()
    answer = await head_of(reader)
    if "content-length" in answer.headers:
        data = json.loads(await reader.readexactly(int(answer.headers["content-length"])))
        if answer.status == 200:
            answer.text = data["choices"][0]["message"]["content"]
        return answer
    pieces: list[str] = []
    while (line := await reader.readline()) != b"0\r\n":
        if not line:
            raise SystemExit("a stream was cut off")
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if piece := event["choices"][0]["delta"].get("content"):
            if not pieces:
                answer.first_seconds = time.monotonic() - began
            pieces.append(piece)
    await reader.readline()
    answer.text, answer.chunks = "".join(pieces), len(pieces)
    return answer


@contextlib.asynccontextmanager
async def connected(
    server: Server,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=LINE_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(server: Server, text: str, **more: object) -> Answer:
    """One request on a connection of its own."""
    async with connected(server) as (reader, writer):
        writer.write(request(text, **more))
        return await read_answer(reader)


def many_files() -> None:
    """As many sockets as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    many_files()
    serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
