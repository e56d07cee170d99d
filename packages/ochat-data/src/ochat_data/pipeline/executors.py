"""Where the pieces of a pipeline are worked on: in this process, in several, or on a cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from ochat_data.errors import InputError

from .chunks import Chunk

# Called with the recipe's path, the work folder's path and a chunk; returns the piece's summary.
Piece = Callable[[str, str, Chunk], dict[str, Any]]


class Executor(Protocol):
    """Does pieces of work in any order and says of each when it is done."""

    def run(
        self, piece: Piece, recipe: str, work: str, chunks: Sequence[Chunk]
    ) -> Iterator[tuple[Chunk, dict[str, Any]]]:
        """Yields each chunk with the summary of its piece, as they finish."""
        ...


class HereExecutor:
    """One piece after the other, in this process."""

    def run(
        self, piece: Piece, recipe: str, work: str, chunks: Sequence[Chunk]
    ) -> Iterator[tuple[Chunk, dict[str, Any]]]:
        """See `Executor.run`."""
        for chunk in chunks:
            yield chunk, piece(recipe, work, chunk)


class ProcessExecutor:
    """Several pieces at a time, each in a process of its own that ends with this one."""

    def __init__(self, workers: int) -> None:
        """Takes the number of processes."""
        self._workers = workers

    def run(
        self, piece: Piece, recipe: str, work: str, chunks: Sequence[Chunk]
    ) -> Iterator[tuple[Chunk, dict[str, Any]]]:
        """See `Executor.run`.

        Raises:
            InputError: A process was ended from outside.
        """
        if not chunks:
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(self._workers, len(chunks)), mp_context=context, initializer=_end_with_parent
        ) as pool:
            waiting = list(reversed(chunks))
            running: dict[Future[dict[str, Any]], Chunk] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * self._workers:
                        chunk = waiting.pop()
                        with _deaf_to_interrupts():
                            running[pool.submit(piece, recipe, work, chunk)] = chunk
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(done), done.result()
            except BrokenProcessPool as error:
                raise InputError(
                    "a worker process was killed, probably for want of memory; what is finished is "
                    "kept, so give fewer --workers and run the same command again"
                ) from error
            except (KeyboardInterrupt, GeneratorExit):
                # Unfinished pieces are done again; nobody who interrupts wants to wait for them.
                for worker in multiprocessing.active_children():
                    worker.kill()
                raise
            finally:
                pool.shutdown(cancel_futures=True)


class RayExecutor:
    """Pieces as the rows of a Ray Data set, on all machines of a cluster.

    The work folder, the recipe and all that it names must lie where every machine sees them. Ray
    restarts a piece that a machine lost; a killed run goes on where the work folder says.
    """

    def __init__(self, address: str) -> None:
        """Takes the cluster's address, `auto` for the one that this machine is part of.

        Raises:
            InputError: The package ray is missing, or there is no such cluster.
        """
        try:
            import ray
        except ImportError as error:
            raise InputError("a cluster needs: pip install 'ochat-data[ray]'") from error
        try:
            _knock(address)
            ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster at {address!r} ({error}); start one with: ray start --head"
            ) from error

    def run(
        self, piece: Piece, recipe: str, work: str, chunks: Sequence[Chunk]
    ) -> Iterator[tuple[Chunk, dict[str, Any]]]:
        """See `Executor.run`."""
        import ray.data

        if not chunks:
            return
        by_index = {chunk.index: chunk for chunk in chunks}

        def work_on(row: dict[str, Any]) -> dict[str, Any]:
            chunk = by_index[int(row["index"])]
            return {"index": chunk.index, "summary": _as_text(piece(recipe, work, chunk))}

        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items(
            [{"index": index} for index in by_index], override_num_blocks=len(by_index)
        )
        for row in rows.map(work_on).iter_rows():
            yield by_index[int(row["index"])], _from_text(str(row["summary"]))


def default_workers() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _knock(address: str) -> None:
    """Connects to HOST:PORT once: where nobody answers, Ray itself would try for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator:
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """Workers started meanwhile do not hear Ctrl-C, which a terminal sends to all of a program.

    They inherit that the signal is blocked. This process hears it as soon as the block ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Ends this worker when the run is killed, so that nobody writes beside its successor."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _as_text(summary: dict[str, Any]) -> str:
    import json

    return json.dumps(summary)


def _from_text(text: str) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(text)
    return found
