"""What the layer above the engine costs: vLLM's server and ours around the same scripted engine.

    python benchmarks/scripted_behind_both.py [--streams 64] [--tokens 256] [--rounds 3]

Needs vLLM (the CPU build will do); no model runs. Both servers talk to one class, a client of
vLLM's engine whose answers are prepared events, one token each, as fast as they are taken. So the
figures are the servers' own: chunks for each second of CPU time, user and system, of the process.
The two take turns, and the ratio is of the sums.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

# pyrefly: ignore[missing-import] - it lies beside this script
from against_vllm import CHAT_TEMPLATE, cpu_seconds, load, make_model, running

MAX_LENGTH = 2048
SIDES = ("vllm", "ours")


def scripted_client(folder: Path) -> Any:  # noqa: ANN401 (vLLM is imported in the servers only)
    """A client of vLLM's engine, whole but for the engine."""
    # pyrefly: ignore[missing-import]
    from vllm.engine.arg_utils import AsyncEngineArgs

    # pyrefly: ignore[missing-import]
    from vllm.outputs import CompletionOutput, RequestOutput

    # pyrefly: ignore[missing-import]
    from vllm.v1.engine.async_llm import AsyncLLM

    # pyrefly: ignore[missing-import]
    from vllm.v1.engine.core_client import EngineCoreClient

    class Core:
        """Stands where the engine's process is spoken to."""

        engine_ranks_managed = (0,)

        class resources:  # noqa: N801 (vLLM's name)
            engine_dead = False

        async def get_supported_tasks_async(self) -> tuple[str, ...]:
            return ("generate",)

        async def get_output_async(self) -> None:
            await asyncio.Event().wait()

        def shutdown(self, timeout: float | None = None) -> None:
            pass

    def event(token: int, *, finished: bool) -> RequestOutput:
        answer = CompletionOutput(
            index=0,
            text="river ",
            token_ids=[token],
            cumulative_logprob=None,
            logprobs=None,
            finish_reason="length" if finished else None,
        )
        return RequestOutput("scripted", None, [1], None, [answer], finished)

    more, last = event(40, finished=False), event(40, finished=True)

    class Script:
        """Stands where a request's outputs are collected."""

        def __init__(self, name: str, tokens: int) -> None:
            self.request_id, self.left = name, tokens

        def get_nowait(self) -> None:
            return None

        async def get(self) -> RequestOutput:
            await asyncio.sleep(0)
            self.left -= 1
            return more if self.left else last

        def close(self) -> None:
            pass

    class Scripted(AsyncLLM):
        """`generate`, which vLLM's server calls, reads what this gives, as our engine does."""

        async def add_request(
            self,
            request_id: str,
            _prompt: object,
            params: Any,  # noqa: ANN401
            **_: object,
        ) -> Script:
            return Script(request_id, params.max_tokens)

    def no_process(**_: object) -> Core:
        return Core()

    EngineCoreClient.make_async_mp_client = staticmethod(no_process)
    arguments = AsyncEngineArgs(model=str(folder), max_model_len=MAX_LENGTH, dtype="bfloat16")
    return Scripted.from_engine_args(arguments)


async def serve_vllm(folder: Path, port: int) -> None:
    """VLLM's application, served as it serves it."""
    import uvicorn

    # pyrefly: ignore[missing-import]
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state

    # pyrefly: ignore[missing-import]
    from vllm.entrypoints.launchers.app import build_app

    # pyrefly: ignore[missing-import]
    from vllm.entrypoints.launchers.cli_args import make_arg_parser

    # pyrefly: ignore[missing-import]
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    words = ["--model", str(folder), "--chat-template", str(folder / "chat.jinja")]
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    client = scripted_client(folder)
    app = build_app(arguments, ("generate",), client.model_config)
    await init_app_state(client, app.state, arguments, ("generate",))
    config = uvicorn.Config(app, port=port, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve()


async def serve_ours(folder: Path, port: int) -> None:
    """Our application around our engine class, which holds the client."""
    import uvicorn

    from ochat_serve import ServerSettings, build_app, open_model_folder
    from ochat_serve.engine.vllm import VllmEngine

    engine = VllmEngine(folder, max_model_len=MAX_LENGTH)
    engine._llm = scripted_client(folder)
    model = open_model_folder(folder, needs_weights=True).model
    app = build_app(engine, model, ServerSettings(stream_period=1))
    config = uvicorn.Config(app, port=port, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve()


def serve(side: str, folder: Path, port: int) -> None:
    """Run one of the servers until it is told to stop."""
    import uvloop

    uvloop.run(serve_ours(folder, port) if side == "ours" else serve_vllm(folder, port))


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def compare(streams: int, tokens: int, rounds: int) -> None:
    """Measure both in turns and print."""
    os.environ["VLLM_LOGGING_LEVEL"] = "WARNING"
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place) / "toy"
        folder.mkdir()
        make_model(folder)
        (folder / "chat.jinja").write_text(CHAT_TEMPLATE)
        servers = {}
        for side in SIDES:
            port = free_port()
            command = [sys.executable, __file__, "--serve", side, str(folder), str(port)]
            pid = stack.enter_context(running(command, port, Path(place) / f"{side}.log"))
            load(port, streams, streams, 32)
            servers[side] = (pid, port)
        chunks, seconds = dict.fromkeys(SIDES, 0), dict.fromkeys(SIDES, 0.0)
        for _ in range(rounds):
            for side, (pid, port) in servers.items():
                before = cpu_seconds(pid)
                ran = load(port, streams, streams * 2, tokens)
                seconds[side] += cpu_seconds(pid) - before
                chunks[side] += ran["output_tokens"]
    rate = {side: chunks[side] / seconds[side] for side in SIDES}
    print(f"{streams} streams of {tokens} tokens, one chunk each, {rounds} rounds in turns")
    for side in SIDES:
        print(
            f"{side:<6}{rate[side]:>9.0f} chunks a CPU second "
            f"({1e6 / rate[side]:.1f} us a chunk), {rate[side] / rate['vllm']:.2f} of vLLM's"
        )


def main() -> None:
    """Compare, or be one of the servers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        side, folder, port = arguments.serve
        serve(side, Path(folder), int(port))
    else:
        compare(arguments.streams, arguments.tokens, arguments.rounds)


if __name__ == "__main__":
    main()
