"""An OpenAI-compatible server whose speed is known, as a process of its own.

A batch of so many requests is in work at once, each at so many tokens a second; the rest waits in
line. Prints its port, and tells at /told when the first request came. The length of an answer is
drawn from the prompt, so that two runs get the same work.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import json
import time

from aiohttp import web


def answer_tokens(prompt: str, shortest: int, longest: int) -> int:
    """The length of the answer to a prompt, between two limits, the same in every run."""
    draw = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4])
    return shortest + draw % (longest - shortest + 1)


class FixedServer:
    """Answers "The answer is (A)." after as long as the engine it stands for would take."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Take the engine's speed."""
        self._options = options
        self._free_at = [0.0] * options.batch
        self._first: float | None = None
        self._last = 0.0
        self._tokens = 0

    async def chat(self, request: web.Request) -> web.Response:
        """One chat completion."""
        if self._first is None:
            self._first = time.time()
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        tokens = answer_tokens(prompt, self._options.shortest, self._options.longest)
        if self._options.rate:
            await asyncio.sleep(self._due(tokens) - time.monotonic())
        self._tokens += tokens
        self._last = time.time()
        message = {"role": "assistant", "content": "The answer is (A)."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": tokens}
        return web.json_response({"choices": [choice], "usage": usage})

    def _due(self, tokens: int) -> float:
        """When the engine is done: in the slot that is free first, from now on at the earliest.

        Slots are kept by the clock, so that this process's own delays do not slow the engine down.
        """
        begin = max(time.monotonic(), heapq.heappop(self._free_at))
        heapq.heappush(self._free_at, begin + tokens / self._options.rate)
        return begin + tokens / self._options.rate

    async def models(self, _request: web.Request) -> web.Response:
        """The one model."""
        return web.json_response({"object": "list", "data": [{"id": "fixed"}]})

    async def told(self, _request: web.Request) -> web.Response:
        """When the first request came and the last was answered; begins anew."""
        answer = {"first": self._first, "last": self._last, "tokens": self._tokens}
        self._first, self._tokens = None, 0
        return web.json_response(answer)


async def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="tokens a second a stream; 0: at once"
    )
    parser.add_argument("--shortest", type=int, default=20)
    parser.add_argument("--longest", type=int, default=200)
    server = FixedServer(parser.parse_args())
    app = web.Application(client_max_size=2**24)
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/told", server.told)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
