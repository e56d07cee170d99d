"""The command line that OpenChat published in 2023, on today's server.

    python -m ochat.serving.openai_api_server --model-type T --model FOLDER [...]

Old options are mapped by `old_flags`, one line each; those of vLLM are left out where another
engine serves.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from ochat_serve.__main__ import run, say
from ochat_serve.config_file import apply
from ochat_serve.engine.create import resolve_engine_name
from ochat_serve.errors import SetupError
from ochat_serve.old_flags import in_todays_words
from ochat_serve.options import build_parser

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the published command; exit codes as `ochat-serve`."""
    parser = argparse.ArgumentParser(
        prog="python -m ochat.serving.openai_api_server",
        description="OpenChat's published serving command; the newer one is: ochat-serve MODEL.",
        epilog="Other options are those of ochat-serve (see ochat-serve --help). Those of 2023 "
        "whose meaning is gone are answered with a line.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, metavar="FOLDER", help="model folder")
    parser.parse_known_args(argv)
    words, notices = in_todays_words(sys.argv[1:] if argv is None else argv)
    for notice in notices:
        say(notice)
    server = build_parser(parser.prog)
    try:
        apply(server, words, os.environ)
    except SetupError as error:
        say(f"ochat-serve: {error}")
        return 1
    arguments, further = server.parse_known_args(words)
    engine_name = resolve_engine_name(arguments.engine)
    if further and engine_name != "vllm":
        say(f"{' '.join(further)}: for vLLM only; the {engine_name} engine does without.")
        further.clear()
    return run(arguments, engine_name, further)
