"""What the server does under conditions that nobody likes: one row of the README's table each.

    python benchmarks/reliability.py streams      # 2,000 streams at once, every token in its place
    python benchmarks/reliability.py memory       # 100,000 requests, memory as it goes
    python benchmarks/reliability.py storm        # clients that leave at any moment
    python benchmarks/reliability.py overload     # ten times what it can do, for a minute
    python benchmarks/reliability.py slow         # half open, half sent and hardly reading clients
    python benchmarks/reliability.py soak         # mixed load for half an hour

The server is a process of its own with the scripted engine, which gives back the question, so that
every answer can be checked to the letter. A row that does not hold ends with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

# pyrefly: ignore[missing-import] - it lies beside this script
from reliability_parts import (
    Server,
    ask,
    connected,
    many_files,
    read_answer,
    request,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PREFIX = "GPT4 User: "  # the engine gives back the last turn as the template writes it


def percentile(values: list[float], share: float) -> float:
    """Of sorted or unsorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def hold(name: str, *, true: bool) -> None:
    """End with an error where the row does not hold."""
    if not true:
        raise SystemExit(f"does not hold: {name}")


async def streams(count: int) -> None:
    """Every stream has a text of its own; a lost, doubled, strange or late token would show."""
    with running(10.0) as server:
        texts = [" ".join(f"{i}.{step}" for step in range(12)) for i in range(count)]
        cpu = server.cpu_seconds()
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                await asyncio.sleep(1)
                state = await asyncio.to_thread(server.engine)
                most = max(most, state["running"])

        watching = asyncio.create_task(watch())
        answers = await asyncio.gather(*(ask(server, t, stream=True) for t in texts))
        watching.cancel()
        wrong = sum(a.text != PREFIX + t for a, t in zip(answers, texts, strict=True))
        chunks = sum(answer.chunks for answer in answers)
        cpu = server.cpu_seconds() - cpu
        print(f"{count} streams, most at once {most}, {chunks} chunks, {wrong} wrong answers")
        print(f"server: {1e6 * cpu / chunks:.0f} us CPU a chunk, {server.rss_mib():.0f} MiB")
        hold("every answer is its question", true=wrong == 0)
        hold("they ran at once", true=most > 0.9 * count)


async def memory(count: int) -> None:
    """Half streamed, half whole, on connections that are used again and again."""
    with running(0.0) as server:
        done = 0
        marks: list[tuple[int, float]] = []

        async def client(number: int) -> None:
            nonlocal done
            async with connected(server) as (reader, writer):
                while done < count:
                    done += 1
                    mine = done
                    text = f"stream {mine} {number}"
                    writer.write(request(text, stream=mine % 2 == 0))
                    answer = await read_answer(reader)
                    hold("every answer is its question", true=answer.text == PREFIX + text)
                    if mine % (count // 10) == 0:
                        marks.append((mine, server.rss_mib()))
                        print(f"{done:>8} requests: {marks[-1][1]:.1f} MiB", flush=True)

        await asyncio.gather(*map(client, range(32)))
        grown = marks[-1][1] - marks[1][1]
        print(f"grown after the first {marks[1][0]}: {grown:+.1f} MiB")
        hold("memory is flat (2 MiB and 2 %)", true=grown < 2 + 0.02 * marks[1][1])


async def leave(server: Server, phase: str) -> None:
    """A client that goes away: before the headers, in mid-stream, or with half a body sent."""
    async with connected(server) as (reader, writer):
        sent = request("stream " * 400, stream=True)
        writer.write(sent[: len(sent) // 2] if phase == "half a body" else sent)
        await writer.drain()
        if phase == "in mid-stream":
            await reader.readuntil(b"content")


async def storm(count: int) -> None:
    """Rounds of clients of all kinds, then twice as many in mid-stream."""
    phases = ("before headers", "in mid-stream", "half a body")
    with running(5.0) as server:
        before = (0.0, 0, 0)
        for turn in range(10):
            kinds = [random.choice(phases) for _ in range(count)]  # noqa: S311
            await asyncio.gather(*(leave(server, kind) for kind in kinds))
            idle = await server.idle(30)
            await asyncio.sleep(0.5)
            now = (server.rss_mib(), server.files(), server.engine()["tasks"])
            before = now if turn == 1 else before
            print(
                f"round {turn + 1}: engine idle after {idle:.2f} s, {now[0]:.1f} MiB, "
                f"{now[1]} files, {now[2]} tasks",
                flush=True,
            )
        aborted = server.engine()["aborted"]
        await asyncio.gather(*(leave(server, "in mid-stream") for _ in range(2 * count)))
        idle = await server.idle(30)
        gone = server.engine()["aborted"] - aborted
        print(f"{2 * count} disconnects in mid-stream: {gone} aborted, idle after {idle:.2f} s")
        hold("every request was aborted", true=gone == 2 * count)
        hold(
            "no file and no task is left", true=now[1] <= before[1] + 2 and now[2] <= before[2] + 2
        )
        hold("memory is flat (2 MiB and 2 %)", true=now[0] < 1.02 * before[0] + 2)


async def overload(seconds: int) -> None:
    """Ten clients for every place, each asking again at once, or when it was told to."""
    places = 32
    with running(50.0, places) as server:
        text = "stream 1: 1 2"
        alone = [(await ask(server, text, stream=True)).first_seconds for _ in range(10)]
        statuses: Counter[int] = Counter()
        first: list[float] = []
        probes: list[float] = []
        end = time.monotonic() + seconds

        async def client() -> None:
            async with connected(server) as (reader, writer):
                while time.monotonic() < end:
                    writer.write(request(text, stream=True))
                    answer = await read_answer(reader)
                    statuses[answer.status] += 1
                    if answer.status == 200:
                        first.append(answer.first_seconds)
                        hold("whole answers", true=answer.text == PREFIX + text)
                    else:
                        hold("Retry-After is said", true="retry-after" in answer.headers)
                        await asyncio.sleep(float(answer.headers["retry-after"]))

        async def probe() -> None:
            while time.monotonic() < end:
                began = time.monotonic()
                await asyncio.to_thread(server.engine)
                probes.append(time.monotonic() - began)
                await asyncio.sleep(0.25)

        await asyncio.gather(*(client() for _ in range(10 * places)), probe())
        print(f"{seconds} s at ten times the capacity: {dict(statuses)}")
        print(
            f"first token alone {1e3 * statistics.median(alone):.0f} ms; admitted p50 "
            f"{1e3 * percentile(first, 0.5):.0f}, p99 {1e3 * percentile(first, 0.99):.0f} ms; "
            f"other routes p99 {1e3 * percentile(probes, 0.99):.0f} ms"
        )
        hold("only 200 and 503", true=set(statuses) == {200, 503})
        hold("nothing runs on", true=await server.idle(10) < 10)


async def slow(count: int) -> None:
    """Silent and half sent connections, and readers who hardly read; then normal requests."""
    with running(0.0) as server:
        text = "stream 1: 1 2 3"
        calm = [(await ask(server, text, stream=True)).first_seconds for _ in range(50)]
        files = server.files()
        async with contextlib.AsyncExitStack() as stack:
            for number in range(count):
                _, writer = await stack.enter_async_context(connected(server))
                writer.write(request(text)[: (number * 7) % 120])
            for _ in range(count // 10):
                _, writer = await stack.enter_async_context(connected(server))
                writer.write(request("river " * 20_000, stream=True))
            await asyncio.sleep(3)
            beside = [(await ask(server, text, stream=True)).first_seconds for _ in range(50)]
            held, rss = server.files() - files, server.rss_mib()
            await server.idle(60)
            left_after = 0.0
            began = time.monotonic()
            while server.files() > files + 2 and left_after < 60:
                await asyncio.sleep(0.5)
                left_after = time.monotonic() - began
        print(
            f"{held} idle connections held; first token p99 alone {1e3 * max(calm):.0f} ms, "
            f"beside them {1e3 * max(beside):.0f} ms; {rss:.0f} MiB; all of them left in time"
        )
        hold("none is held for ever", true=left_after < 60)


async def soak(seconds: int) -> None:
    """Streams, whole answers, mistakes and leaving clients, mixed."""
    with running(200.0) as server:
        end, marks, counts = time.monotonic() + seconds, list[float](), Counter[str]()

        async def client(number: int) -> None:
            while time.monotonic() < end:
                kind = random.choice(("stream", "whole", "wrong", "leave"))  # noqa: S311
                counts[kind] += 1
                text = f"stream {number}: {counts[kind]} river"
                if kind == "leave":
                    await leave(server, "in mid-stream")
                elif kind == "wrong":
                    hold("400", true=(await ask(server, text, n="three")).status == 400)
                else:
                    answer = await ask(server, text, stream=kind == "stream")
                    hold("every answer is its question", true=answer.text == PREFIX + text)

        async def watch() -> None:
            while time.monotonic() < end:
                await asyncio.sleep(seconds / 10)
                marks.append(server.rss_mib())
                print(f"{marks[-1]:.1f} MiB, {server.files()} files, {dict(counts)}", flush=True)

        await asyncio.gather(*(client(number) for number in range(16)), watch())
        slope = (marks[-1] - marks[2]) / (len(marks) - 3) * 10 * 600 / seconds
        print(f"{seconds} s: {slope:+.2f} MiB in ten minutes")
        hold("nothing runs on", true=await server.idle(10) < 10)


ROWS: dict[str, tuple[Callable[[int], Coroutine[Any, Any, None]], int]] = {
    "streams": (streams, 2_000),
    "memory": (memory, 100_000),
    "storm": (storm, 500),
    "overload": (overload, 60),
    "slow": (slow, 1_000),
    "soak": (soak, 1_800),
}


def main() -> None:
    """Run a row."""
    many_files()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--size", type=int, help="how many, or how many seconds")
    arguments = parser.parse_args()
    row, size = ROWS[arguments.row]
    asyncio.run(row(arguments.size or size))


if __name__ == "__main__":
    main()
