"""The options of `ochat-serve`, and what they mean for server and engine.

Running them is `__main__`'s business; file and environment are `config_file`'s.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ochat_serve.engine.create import ENGINE_NAMES
from ochat_serve.keys import KeyLimits
from ochat_serve.settings import DEFAULT_PORT, ServerSettings

_EPILOG = """\
examples:
  ochat-serve ./my-model                          http://127.0.0.1:18888, page and API
  ochat-serve ./my-model --host 0.0.0.0 --api-keys sk-KEY1 sk-KEY2
  ochat-serve ./my-model --engine vllm --tensor-parallel-size 2

Further arguments go to vLLM's engine (see its documentation: engine arguments); put MODEL before
them. `bench` and `chat` are reserved words: a folder of that name is ./bench.
"""


class _Version(argparse.Action):
    """Looks the version up only when asked: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Prints it, and leaves."""
        from importlib.metadata import version

        sys.stdout.write(f"ochat-serve {version('ochat-serve')}\n")
        parser.exit()


def build_parser(prog: str = "ochat-serve") -> argparse.ArgumentParser:
    """The command line, also the base of the published older command."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve an OpenChat model: an OpenAI-compatible API and a chat page.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    parser.add_argument("model", metavar="MODEL", help="model folder")
    _add_model_arguments(parser)
    _add_server_arguments(parser)
    _add_web_arguments(parser)
    _add_limits(parser)
    return parser


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model and engine")
    group.add_argument(
        "--engine",
        choices=ENGINE_NAMES,
        default="auto",
        help="auto is vllm where installed, else transformers; scripted echoes, without weights "
        "(default: auto)",
    )
    group.add_argument(
        "--model-type",
        metavar="T",
        help="template, such as openchat_v3.2 (default: what openchat.json in MODEL says)",
    )
    group.add_argument(
        "--adapters",
        "--lora-modules",
        nargs="+",
        default=(),
        metavar="NAME=FOLDER",
        help="LoRA adapters of MODEL, each served as the model NAME (needs peft with the "
        "transformers engine)",
    )
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="precision of the weights (default: auto, as saved)",
    )
    group.add_argument(
        "--max-model-len",
        type=positive,
        metavar="TOKENS",
        help="longest prompt and answer together (default: what the model was trained on)",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="torch device of the transformers engine (default: auto, a GPU if there is one)",
    )
    group.add_argument(
        "--engine-stats",
        action="store_true",
        help="let vLLM gather and log its own statistics; costs CPU time a token",
    )
    group.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="CPU threads of the transformers engine (default: all cores but one)",
    )


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    group.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help=f"port (default: {DEFAULT_PORT})"
    )
    group.add_argument(
        "--api-keys",
        nargs="+",
        default=[],
        metavar="KEY",
        help="keys that open the API (default: none, open to whoever can connect)",
    )
    group.add_argument(
        "--insecure",
        action="store_true",
        help="allow a --host that others can reach without --api-keys",
    )
    group.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="append one JSON line a request, numbers only (default: no log)",
    )
    group.add_argument(
        "--log-content",
        action="store_true",
        help="the log also has what was asked and answered",
    )
    group.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="keys by their digests, followed while serving; lines are made by: "
        "ochat-serve keys new NAME",
    )


def _add_web_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("browsers, HTTPS and stopping")
    group.add_argument(
        "--allowed-origins",
        nargs="+",
        default=[],
        metavar="ORIGIN",
        help="web pages of these origins may call the API, * is all (default: only its own page)",
    )
    group.add_argument(
        "--ssl-certfile", type=Path, metavar="FILE", help="serve HTTPS with this certificate"
    )
    group.add_argument(
        "--ssl-keyfile", type=Path, metavar="FILE", help="its private key, if not in the same file"
    )
    group.add_argument(
        "--config", metavar="FILE", help="options as TOML; OCHAT_SERVE_PORT and so on win over it"
    )
    group.add_argument(
        "--shutdown-timeout",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="time for running answers after SIGTERM or Ctrl-C (default: 30)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    for flag, text in (
        ("--requests-per-minute", "requests a minute of one key (default: no limit)"),
        ("--tokens-per-minute", "tokens a minute of one key (default: no limit)"),
        ("--requests-at-once", "requests of one key at the same time (default: no limit)"),
    ):
        group.add_argument(flag, type=positive, metavar="N", help=text)
    group.add_argument(
        "--max-running",
        type=positive,
        metavar="N",
        default=ServerSettings().max_running,
        help="requests answered at the same time, more get 503 (default: %(default)s)",
    )
    group.add_argument(
        "--max-body-bytes",
        type=positive,
        metavar="N",
        default=ServerSettings().max_body_bytes,
        help="largest request (default: %(default)s)",
    )
    group.add_argument(
        "--body-timeout",
        type=positive,
        metavar="SECONDS",
        default=int(ServerSettings().body_seconds),
        help="time for sending a request (default: %(default)s)",
    )
    group.add_argument(
        "--client-timeout",
        type=positive,
        metavar="SECONDS",
        default=int(ServerSettings().client_seconds),
        help="a client that sends or reads nothing for so long is left (default: %(default)s)",
    )
    group.add_argument(
        "--stream-period",
        type=positive,
        metavar="TOKENS",
        default=ServerSettings().stream_period,
        help="most tokens of one chunk when much runs; 1 sends each alone (default: %(default)s)",
    )


def settings_of(arguments: argparse.Namespace) -> ServerSettings:
    """How requests are received."""
    return ServerSettings(
        api_keys=tuple(arguments.api_keys),
        key_file=arguments.api_key_file,
        limits=KeyLimits(
            rpm=arguments.requests_per_minute,
            tpm=arguments.tokens_per_minute,
            concurrency=arguments.requests_at_once,
        ),
        max_running=arguments.max_running,
        max_body_bytes=arguments.max_body_bytes,
        body_seconds=arguments.body_timeout,
        client_seconds=arguments.client_timeout,
        log_file=arguments.log_file,
        log_content=arguments.log_content,
        stream_period=arguments.stream_period,
        allowed_origins=tuple(arguments.allowed_origins),
        shutdown_seconds=arguments.shutdown_timeout,
    )


def positive(text: str) -> int:
    """An option's whole number from 1 on."""
    return _whole_number(text, 1, sys.maxsize)


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
    return int(text)
