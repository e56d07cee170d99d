"""The command `ochat-serve`: reads the command line, checks what can be checked, serves.

Heavy imports happen after the command line and the model folder were found to be right.
"""

from __future__ import annotations

import argparse
import logging
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_serve.engine.create import (
    ENGINE_NAMES,
    HOW_TO_GET_VLLM,
    EngineOptions,
    create_engine,
    resolve_engine_name,
)
from ochat_serve.errors import ServeError, SetupError
from ochat_serve.settings import DEFAULT_PORT, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.engine import Engine
    from ochat_serve.model_folder import ModelFolder

_EPILOG = """\
examples:
  ochat-serve ./my-model                          http://127.0.0.1:18888, page and API
  ochat-serve ./my-model --host 0.0.0.0 --api-keys sk-KEY1 sk-KEY2
  ochat-serve ./my-model --engine vllm --tensor-parallel-size 2

Further arguments go to vLLM's engine (see its documentation: engine arguments); put MODEL before
them. `bench` and `chat` are reserved words: a folder of that name is ./bench.
"""
_RESERVED = ("bench", "chat")


def build_parser(prog: str = "ochat-serve") -> argparse.ArgumentParser:
    """The command line, also the base of the published older command."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve an OpenChat model: an OpenAI-compatible API and a chat page.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="model folder")
    _add_model_arguments(parser)
    _add_server_arguments(parser)
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
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="precision of the weights (default: auto, as saved)",
    )
    group.add_argument(
        "--max-model-len",
        type=_positive,
        metavar="TOKENS",
        help="longest prompt and answer together (default: what the model was trained on)",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="torch device of the transformers engine (default: auto, a GPU if there is one)",
    )
    group.add_argument(
        "--threads",
        type=_positive,
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
        "--shutdown-timeout",
        type=_positive,
        default=30,
        metavar="SECONDS",
        help="time for running answers after SIGTERM or Ctrl-C (default: 30)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for an expected failure, 2 for wrong usage."""
    parser = build_parser()
    arguments, further = parser.parse_known_args(argv)
    if arguments.model in _RESERVED:
        parser.error(
            f"{arguments.model!r} is a reserved word; a folder of that name is ./{arguments.model}"
        )
    engine_name = resolve_engine_name(arguments.engine)
    if further and engine_name != "vllm":
        # Names only: the value of a mistyped --api-key would end in the service's log.
        names = [word.partition("=")[0] for word in further if word.startswith("-")]
        parser.error(
            f"unrecognized arguments: {' '.join(names) or 'values without an option'} "
            f"(the {engine_name} engine takes none beside those in --help)"
        )
    return run(arguments, engine_name, further)


def run(arguments: argparse.Namespace, engine_name: str, vllm_arguments: Sequence[str]) -> int:
    """Serve as the parsed command line says; expected failures become one line and 1."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        return _run(arguments, engine_name, vllm_arguments)
    except ServeError as error:
        say(f"ochat-serve: {error}")
        return 1
    except KeyboardInterrupt:
        return 0


def _run(arguments: argparse.Namespace, engine_name: str, vllm_arguments: Sequence[str]) -> int:
    _require_keys_in_public(arguments)
    from ochat_serve.model_folder import open_model_folder
    from ochat_serve.server import bind, serve

    listening = bind(arguments.host, arguments.port)
    folder = open_model_folder(
        Path(arguments.model),
        model_type=arguments.model_type,
        max_model_len=arguments.max_model_len,
        needs_weights=engine_name != "scripted",
    )
    settings = ServerSettings(
        api_keys=tuple(arguments.api_keys),
        log_file=arguments.log_file,
        shutdown_seconds=arguments.shutdown_timeout,
    )
    say(f"ochat-serve: loading {folder.path} with the {engine_name} engine ...")
    options = EngineOptions(
        max_model_len=folder.max_model_len,
        dtype=arguments.dtype,
        device=arguments.device,
        threads=arguments.threads,
        shutdown_seconds=settings.shutdown_seconds,
        vllm_arguments=tuple(vllm_arguments),
    )
    engine = create_engine(engine_name, folder.path, options)
    from ochat_serve.http import build_app

    return serve(
        build_app(engine, folder.model, settings),
        engine,
        listening,
        shutdown_seconds=settings.shutdown_seconds,
        on_ready=lambda: say(_summary(folder, engine, settings, listening.getsockname())),
    )


def _summary(
    folder: ModelFolder, engine: Engine, settings: ServerSettings, address: Sequence[object]
) -> str:
    """What an operator wants to see at start."""
    codec = folder.model.codec
    host, port = str(address[0]), address[1]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    rows = {
        "model": f"{folder.path} as {', '.join(folder.model.names)}",
        "template": f"{codec.template.name}, context {engine.max_model_len} tokens",
        "fingerprint": codec.fingerprint.digest[:16],
        "engine": engine.name,
        "keys": f"{len(settings.api_keys)} API keys" if settings.api_keys else "none, open",
        "address": f"{url}/v1",
        "page": f"{url}/",
    }
    if engine.name == "transformers":
        rows["engine"] += f" ({HOW_TO_GET_VLLM})"
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {value}" for name, value in rows.items()]
    return "\n".join(["ochat-serve: ready; Ctrl-C stops it", *lines])


def _require_keys_in_public(arguments: argparse.Namespace) -> None:
    if arguments.api_keys or arguments.insecure or _is_loopback(arguments.host):
        return
    raise SetupError(
        f"Others can reach {arguments.host}, and there are no keys; give --api-keys KEY..., or "
        "--insecure if everybody may use the model."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _positive(text: str) -> int:
    return _whole_number(text, 1, sys.maxsize)


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
    return int(text)


def say(text: str) -> None:
    """A message for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
