"""The command `ochat-serve chat URL`: a conversation at the terminal."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ochat_serve.bench.client import Endpoint, EndpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = """\
/new            begin again
/system TEXT    set the system text (none takes it away)
/condition C    set the condition
/quit           end (so does the end of input)"""


@dataclass(slots=True)
class Talk:
    """A conversation going on.

    Attributes:
        endpoint: Who answers.
        model: Model name.
        options: Fields sent with every request.
        system: System text.
        turns: Messages so far.
    """

    endpoint: Endpoint
    model: str
    options: dict[str, Any]
    system: str = ""
    turns: list[dict[str, str]] = field(default_factory=list)

    async def say(self, text: str) -> None:
        """Send a message and print the answer as it comes; a failed turn is taken back."""
        self.turns.append({"role": "user", "content": text})
        system = [{"role": "system", "content": self.system}] if self.system else []
        body = {
            "model": self.model,
            "messages": [*system, *self.turns],
            "stream": True,
            **self.options,
        }
        pieces: list[str] = []
        try:
            async with aclosing(self.endpoint.events("/chat/completions", body)) as events:
                async for event in events:
                    for choice in event.get("choices", ()):
                        piece = choice.get("delta", {}).get("content") or ""
                        pieces.append(piece)
                        print(piece, end="", flush=True)
        except EndpointError:
            self.turns.pop()
            raise
        finally:
            if pieces:
                print()
        self.turns.append({"role": "assistant", "content": "".join(pieces)})

    def command(self, line: str) -> bool:
        """Obey a line that begins with a slash; False ends the conversation."""
        word, _, rest = line.partition(" ")
        if word == "/quit":
            return False
        if word == "/new":
            self.turns.clear()
        elif word == "/system":
            self.system = rest
        elif word == "/condition":
            self.options["condition"] = rest
        else:
            print(_HELP, file=sys.stderr)
        return True


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="ochat-serve chat",
        description="Chat with any OpenAI endpoint at the terminal; /help lists the commands.",
        allow_abbrev=False,
    )
    parser.add_argument("url", metavar="URL", help="such as http://127.0.0.1:18888")
    parser.add_argument("--model", help="model name (default: the first that it lists)")
    parser.add_argument("--system", default="", help="system text")
    parser.add_argument("--condition", help="condition of an OpenChat model")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument(
        "--api-key", default=os.environ.get("OPENAI_API_KEY", ""), help="(default: OPENAI_API_KEY)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 where the endpoint cannot be used."""
    arguments = build_parser().parse_args(argv)
    try:
        return _converse(arguments)
    except EndpointError as error:
        print(f"ochat-serve chat: {error}", file=sys.stderr)
        return 1


def _converse(arguments: argparse.Namespace) -> int:
    endpoint = Endpoint(url=arguments.url, key=arguments.api_key)
    model = arguments.model or asyncio.run(endpoint.model())
    named = ("condition", "temperature", "max_tokens")
    options = {n: getattr(arguments, n) for n in named if getattr(arguments, n) is not None}
    talk = Talk(endpoint, model, options, arguments.system)
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            return 0
        if line.startswith("/"):
            if not talk.command(line):
                return 0
        elif line:
            _turn(talk, line)


def _turn(talk: Talk, line: str) -> None:
    """One turn; Ctrl-C ends the answer and an error the turn, never the conversation."""
    try:
        asyncio.run(talk.say(line))
    except EndpointError as error:
        print(f"ochat-serve chat: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        talk.turns.pop()
        print("\n(stopped)", file=sys.stderr)
