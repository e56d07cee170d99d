"""A server of our own: starts `ochat-serve` on a free port, asks it over HTTP, and ends it.

The process is ours alone; the server itself is ochat-serve's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from ochat_eval.backends.base import Reply
from ochat_eval.backends.http import HttpBackend
from ochat_eval.config import RunConfig
from ochat_eval.errors import ServerError
from ochat_eval.question import Question

_STOP_SECONDS = 60.0


class SpawnedBackend:
    """Runs a server as long as it is open."""

    def __init__(self, config: RunConfig, *, start_seconds: float = 900.0) -> None:
        """Remember what to start; large models take minutes to load."""
        self._config, self._start_seconds = config, start_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._http: HttpBackend | None = None
        self._resources = contextlib.AsyncExitStack()
        # Of the server while it runs, for who wants to ask it by other means.
        self.address = self.key = self.served = ""

    async def __aenter__(self) -> Self:
        """Start the server and wait until it takes requests.

        Raises:
            ServerError: It ended before that; tells its last words.
        """
        port, key = _free_port(), f"sk-{secrets.token_hex(16)}"
        folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory()))
        log = folder / "server.log"
        command = [
            *(sys.executable, "-m", "ochat_serve", self._config.model),
            *("--engine", self._config.engine, "--port", str(port), "--api-keys", key),
        ]
        if self._config.model_type:
            command += ["--model-type", self._config.model_type]
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *self._config.engine_arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            await self._wait_until_ready(port, log)
            address = f"http://127.0.0.1:{port}/v1"
            name = await _served_name(address, key)
            self.address, self.key, self.served = address, key, name
            config = replace(self._config, base_url=address, api_key=key, model=name)
            self._http = await HttpBackend(config).__aenter__()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server."""
        if self._http:
            await self._http.__aexit__(kind, error, trace)
        await self._stop()

    async def check(self) -> None:
        """Make sure that it answers."""
        await self._server.check()

    async def ask(self, question: Question, *, on_throttle: Callable[[], None]) -> Reply:
        """Ask it."""
        return await self._server.ask(question, on_throttle=on_throttle)

    @property
    def _server(self) -> HttpBackend:
        if self._http is None:
            raise RuntimeError("use SpawnedBackend with `async with`")
        return self._http

    async def _wait_until_ready(self, port: int, log: Path) -> None:
        deadline = time.monotonic() + self._start_seconds
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                if self._process is None or self._process.returncode is not None:
                    raise ServerError(f"ochat-serve did not start: {_last_words(log)}")
                with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                    async with session.get(f"http://127.0.0.1:{port}/ready") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
        raise ServerError(
            f"ochat-serve was not ready after {self._start_seconds:.0f} seconds: start it by hand "
            "and give --base-url"
        )

    async def _stop(self) -> None:
        process, self._process = self._process, None
        try:
            if process is not None and process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), _STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()
        finally:
            await self._resources.aclose()


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def _served_name(address: str, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{address}/models") as answer,
    ):
        served = await answer.json()
    return str(served["data"][0]["id"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
