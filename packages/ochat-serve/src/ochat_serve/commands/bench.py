"""The command `ochat-serve bench URL`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from ochat_serve.bench.client import Endpoint, EndpointError
from ochat_serve.bench.load import Load, run
from ochat_serve.bench.report import summary, table
from ochat_serve.options import positive

if TYPE_CHECKING:
    from collections.abc import Sequence


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="ochat-serve bench",
        description="Measure any OpenAI endpoint by streaming chats: throughput, time to the "
        "first token, time between tokens.",
        allow_abbrev=False,
    )
    parser.add_argument("url", metavar="URL", help="such as http://127.0.0.1:18888")
    parser.add_argument("--model", help="model name (default: the first that it lists)")
    parser.add_argument("--requests", type=positive, default=100, help="(default: 100)")
    parser.add_argument(
        "--concurrency", type=positive, default=16, help="at the same time (default: 16)"
    )
    parser.add_argument(
        "--max-tokens", type=positive, default=128, help="of an answer (default: 128)"
    )
    parser.add_argument(
        "--prompt-words", type=positive, default=50, help="of a prompt (default: 50)"
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="(default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the prompts (default: 0)")
    parser.add_argument(
        "--ignore-eos",
        action="store_true",
        help="answers of full length, where the endpoint knows that field (this one and vLLM)",
    )
    parser.add_argument(
        "--api-key", default=os.environ.get("OPENAI_API_KEY", ""), help="(default: OPENAI_API_KEY)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 where a request failed."""
    arguments = build_parser().parse_args(argv)
    endpoint = Endpoint(url=arguments.url, key=arguments.api_key)
    try:
        return asyncio.run(_bench(endpoint, arguments))
    except EndpointError as error:
        print(f"ochat-serve bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _bench(endpoint: Endpoint, arguments: argparse.Namespace) -> int:
    load = Load(
        model=arguments.model or await endpoint.model(),
        requests=arguments.requests,
        concurrency=arguments.concurrency,
        prompt_words=arguments.prompt_words,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
        extra={"ignore_eos": True} if arguments.ignore_eos else {},
    )
    figures = summary(load, await run(endpoint, load))
    print(json.dumps(figures) if arguments.json else table(figures))
    return 1 if figures["failed"] else 0
