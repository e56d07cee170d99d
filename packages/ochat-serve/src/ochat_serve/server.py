"""Listening, serving and stopping: the process around the application.

A port is taken before a model is loaded, a signal lets running answers finish, and the engine is
stopped whatever happens. Which application is served is `ochat_serve.http`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

import uvicorn

from ochat_serve.connection import patient
from ochat_serve.errors import EngineDeadError, SetupError
from ochat_serve.guard import OrphanGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from fastapi import FastAPI

    from ochat_serve.engine import Engine

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HEALTH_INTERVAL_SECONDS = 1.0
_RELAY_SECONDS = 0.1
_BACKLOG = 2048  # uvicorn's own
_GC_THRESHOLDS = (20_000, 20, 20)


def bind(host: str, port: int) -> socket.socket:
    """Take the port; connections are refused until `serve` has loaded the model.

    Raises:
        SetupError: Another program has it, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SetupError(f"The address {host} is not known ({error.strerror}).") from error
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise _port_error(host, port, error) from error
    return taken


def _port_error(host: str, port: int, error: OSError) -> SetupError:
    return SetupError(
        f"Port {port} on {host} cannot be used ({error.strerror}); stop the program that has it "
        "or choose another with --port."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What HTTPS needs.

    Attributes:
        certificate: File of the certificate and those that vouch for it.
        key: File of its private key; None where the same file has it.
    """

    certificate: Path
    key: Path | None = None


class _Server(uvicorn.Server):
    """Uvicorn, leaving the signals to `serve`.

    Its own handling raises the signal again after serving, which would end the process before the
    engine is stopped.
    """

    @contextlib.contextmanager
    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def capture_signals(self) -> Generator[None]:
        yield


def serve(
    app: FastAPI,
    engine: Engine,
    listening: socket.socket,
    *,
    shutdown_seconds: int,
    on_ready: Callable[[], None],
    client_seconds: float = 30.0,
    certificate: Certificate | None = None,
) -> int:
    """Start the engine, serve until a signal, stop the engine.

    Args:
        app: What `build_app` made for the engine.
        engine: Not started yet.
        listening: What `bind` gave.
        shutdown_seconds: How long running answers may take after a signal.
        on_ready: Called when requests are accepted.
        client_seconds: How long a client may send or read nothing in the middle.
        certificate: For HTTPS; None speaks HTTP.

    Returns:
        The exit code: 0 after a signal, 1 when the engine died.

    Raises:
        SetupError: The engine cannot start.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=shutdown_seconds,
        lifespan="on",
        http=patient(client_seconds),
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    try:
        config.load()
    except OSError as error:
        raise SetupError(f"The certificate cannot be used ({error}).") from error
    # uvloop where it is installed; vLLM brings it.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(_serve(app, engine, listening, _Server(config), on_ready))


async def _serve(
    app: FastAPI,
    engine: Engine,
    listening: socket.socket,
    server: uvicorn.Server,
    on_ready: Callable[[], None],
) -> int:
    # While the model loads, both signals unwind the stack at once, so that half-started engine
    # processes are cleaned up; asyncio's own handler would wait for the load to end.
    for each in _SIGNALS:
        signal.signal(each, _exit_now)
    guard: OrphanGuard | None = None
    try:
        with _interrupts_kept_from_children():
            await engine.start()
        guard = OrphanGuard()
        _spare_collections()
        _listen(listening)
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            loop.add_signal_handler(each, _drain, app, server)
        loop.add_signal_handler(signal.SIGHUP, app.state.keys.reload)
        watch = asyncio.create_task(_watch(engine, server))
        on_ready()
        await server.serve(sockets=[listening])
        watch.cancel()
        return 0 if app.state.draining else 1
    finally:
        listening.close()
        await engine.stop()
        if guard is not None:
            guard.release()


def _spare_collections() -> None:
    """What is loaded now stays, so the garbage collector need not look at it again.

    And it looks less often: hundreds of streams make thousands of short-lived objects a second,
    nearly none of them in a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _listen(taken: socket.socket) -> None:
    """Accept connections; fails if a program that bound the same port was faster."""
    try:
        taken.listen(_BACKLOG)
    except OSError as error:
        host, port = taken.getsockname()[:2]
        raise _port_error(host, port, error) from error


@contextlib.contextmanager
def _interrupts_kept_from_children() -> Generator[None]:
    """Processes started meanwhile never get Ctrl-C; this one takes it as SIGTERM.

    A terminal sends Ctrl-C to every process of its group, and an engine's process would drop the
    answers that this server wants to finish. A blocked signal stays blocked in a child.
    """
    interrupt = {signal.SIGINT}
    over = threading.Event()

    def relay() -> None:
        while not over.is_set():
            if signal.sigtimedwait(interrupt, _RELAY_SECONDS) is not None:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    # Python starts this helper with the first child process, and unblocks the signal then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, interrupt)
    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_now(_number: int, _frame: object) -> None:
    sys.exit(0)


def _drain(app: FastAPI, server: uvicorn.Server) -> None:
    """Let running answers finish; a second signal cuts them off."""
    server.force_exit = app.state.draining
    server.should_exit = True
    app.state.draining = True


async def _watch(engine: Engine, server: uvicorn.Server) -> None:
    """End the server when its engine is dead: a supervisor can then start both anew."""
    while True:
        await asyncio.sleep(_HEALTH_INTERVAL_SECONDS)
        try:
            engine.check_health()
        except EngineDeadError as error:
            logging.getLogger(__name__).error("%s The server stops.", error)
            server.should_exit = True
            return
