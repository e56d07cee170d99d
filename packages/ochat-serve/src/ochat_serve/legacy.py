"""The command line that OpenChat published in 2023, on today's server.

    python -m ochat.serving.openai_api_server --model-type T --model FOLDER [...]

Old flags are mapped; one whose meaning is gone is answered with a line saying what replaced it.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ochat_serve.__main__ import run, say
from ochat_serve.config_file import apply
from ochat_serve.engine.create import resolve_engine_name
from ochat_serve.errors import SetupError
from ochat_serve.options import build_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

_GONE = {
    "--engine-use-ray": "the engine always runs in a process of its own; nothing to do",
    "--worker-use-ray": "for workers on Ray use: --distributed-executor-backend ray (vLLM)",
    "--disable-log-requests": "requests are logged only when --log-file is given",
    "--disable-log-stats": "engine statistics are logged only with --engine-stats",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the published command; exit codes as `ochat-serve`."""
    parser = argparse.ArgumentParser(
        prog="python -m ochat.serving.openai_api_server",
        description="OpenChat's published serving command; the newer one is: ochat-serve MODEL.",
        epilog="Other options are those of ochat-serve (see ochat-serve --help).",
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, metavar="FOLDER", help="model folder")
    for flag, replacement in _GONE.items():
        parser.add_argument(flag, action="store_true", help=replacement)
    known, rest = parser.parse_known_args(argv)
    for flag, replacement in _GONE.items():
        if getattr(known, flag[2:].replace("-", "_")):
            say(f"{flag}: {replacement}.")
    server = build_parser(parser.prog)
    try:
        apply(server, rest, os.environ)
    except SetupError as error:
        say(f"ochat-serve: {error}")
        return 1
    arguments, further = server.parse_known_args([known.model, *rest])
    engine_name = resolve_engine_name(arguments.engine)
    if further and engine_name != "vllm":
        say(f"{' '.join(further)}: for vLLM only; the {engine_name} engine does without.")
        further.clear()
    return run(arguments, engine_name, further)
