"""The command `ochat-serve`: reads the command line, checks what can be checked, serves.

Heavy imports happen after the command line and the model folder were found to be right.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_serve.config_file import apply
from ochat_serve.engine.create import (
    HOW_TO_GET_VLLM,
    EngineOptions,
    create_engine,
    resolve_engine_name,
)
from ochat_serve.errors import ServeError, SetupError
from ochat_serve.keys import new_key
from ochat_serve.old_flags import in_todays_words
from ochat_serve.options import build_parser, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ochat_serve.engine import Engine
    from ochat_serve.model_folder import ModelFolder
    from ochat_serve.settings import ServerSettings

_COMMANDS = {"bench": "ochat_serve.commands.bench", "chat": "ochat_serve.commands.chat"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for an expected failure, 2 for wrong usage."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] and words[0] in _COMMANDS:
        return import_module(_COMMANDS[words[0]]).main(words[1:])
    if words[:2] == ["keys", "new"]:
        return _new_key(words[2:])
    words, notices = in_todays_words(words)
    for notice in notices:
        say(notice)
    parser = build_parser()
    try:
        apply(parser, words, os.environ)
    except SetupError as error:
        say(f"ochat-serve: {error}")
        return 1
    arguments, further = parser.parse_known_args(words)
    engine_name = resolve_engine_name(arguments.engine)
    if further and engine_name != "vllm":
        # Names only: the value of a mistyped --api-key would end in the service's log.
        names = [word.partition("=")[0] for word in further if word.startswith("-")]
        parser.error(
            f"unrecognized arguments: {' '.join(names) or 'values without an option'} "
            f"(the {engine_name} engine takes none beside those in --help)"
        )
    return run(arguments, engine_name, further)


def _new_key(words: list[str]) -> int:
    """Print a key's line for the key file, and the key itself to the person at the terminal."""
    parser = argparse.ArgumentParser(
        prog="ochat-serve keys new",
        description="Make an API key. Its line for the key file goes to standard output, the key "
        "itself, which is kept nowhere, to standard error.",
    )
    parser.add_argument("name", metavar="NAME", help="what logs and metrics call it")
    try:
        key, line = new_key(parser.parse_args(words).name)
    except SetupError as error:
        say(f"ochat-serve: {error}")
        return 1
    print(line)
    say(key)
    return 0


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
    from ochat_serve.engine.adapters import read_adapters
    from ochat_serve.engine.vocabulary import Vocabulary
    from ochat_serve.model_folder import open_model_folder
    from ochat_serve.server import Certificate, bind, serve

    listening = bind(arguments.host, arguments.port)
    folder = open_model_folder(
        Path(arguments.model),
        model_type=arguments.model_type,
        max_model_len=arguments.max_model_len,
        needs_weights=engine_name != "scripted",
    )
    adapters = read_adapters(arguments.adapters, folder.model.codec, folder.model.names)
    model = folder.model.with_adapters(*(adapter.name for adapter in adapters))
    folder = dataclasses.replace(folder, model=model)
    settings = settings_of(arguments)
    say(f"ochat-serve: loading {folder.path} with the {engine_name} engine ...")
    options = EngineOptions(
        max_model_len=folder.max_model_len,
        dtype=arguments.dtype,
        device=arguments.device,
        threads=arguments.threads,
        shutdown_seconds=settings.shutdown_seconds,
        adapters=adapters,
        vllm_arguments=tuple(vllm_arguments),
        vocabulary=Vocabulary.of(folder.model.codec),
        engine_stats=arguments.engine_stats,
    )
    engine = create_engine(engine_name, folder.path, options)
    from ochat_serve.http import build_app

    certificate = None
    if arguments.ssl_certfile:
        certificate = Certificate(certificate=arguments.ssl_certfile, key=arguments.ssl_keyfile)
    scheme = "https" if certificate else "http"
    return serve(
        build_app(engine, folder.model, settings),
        engine,
        listening,
        shutdown_seconds=settings.shutdown_seconds,
        client_seconds=settings.client_seconds,
        on_ready=lambda: say(_summary(folder, engine, settings, listening.getsockname(), scheme)),
        certificate=certificate,
    )


def _summary(
    folder: ModelFolder,
    engine: Engine,
    settings: ServerSettings,
    address: Sequence[object],
    scheme: str,
) -> str:
    """What an operator wants to see at start."""
    codec = folder.model.codec
    host, port = str(address[0]), address[1]
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    rows = {
        "model": f"{folder.path} as {', '.join(folder.model.names)}",
        "template": f"{codec.template.name}, context {engine.max_model_len} tokens",
        "fingerprint": codec.fingerprint.digest[:16],
        "engine": engine.name,
        "keys": _keys_in_words(settings),
        "address": f"{url}/v1",
        "page": f"{url}/",
    }
    if engine.name == "transformers":
        rows["engine"] += f" ({HOW_TO_GET_VLLM})"
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {value}" for name, value in rows.items()]
    return "\n".join(["ochat-serve: ready; Ctrl-C stops it", *lines])


def _keys_in_words(settings: ServerSettings) -> str:
    given = f"{len(settings.api_keys)} API keys" if settings.api_keys else ""
    file = f"those of {settings.key_file}" if settings.key_file else ""
    return " and ".join(filter(None, (given, file))) or "none, open"


def _require_keys_in_public(arguments: argparse.Namespace) -> None:
    if (
        arguments.api_keys
        or arguments.api_key_file
        or arguments.insecure
        or _is_loopback(arguments.host)
    ):
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


def say(text: str) -> None:
    """A message for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
