"""Options from a TOML file and from the environment, below those of the command line.

    # serve.toml, for --config serve.toml
    port = 8000
    api-key-file = "keys.txt"

The environment's names are `OCHAT_SERVE_` and the option in capitals: `OCHAT_SERVE_PORT=8000`.
The command line wins over the environment, and the environment over the file.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from ochat_serve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PREFIX = "OCHAT_SERVE_"
# Only said where the command is typed.
_NEVER = frozenset({"help", "model", "config"})
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def apply(
    parser: argparse.ArgumentParser, argv: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Make what file and environment say the parser's defaults.

    Args:
        parser: With an option `--config`.
        argv: The command line, read for `--config` alone.
        environment: Variables.

    Raises:
        SetupError: The file cannot be read, or names what is no option.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", default=environment.get(_PREFIX + "CONFIG"))
    file = finder.parse_known_args(argv)[0].config
    options = {action.dest: action for action in parser._actions if action.dest not in _NEVER}
    if file:
        _apply_file(parser, options, Path(file))
    for dest, action in options.items():
        text = environment.get(_PREFIX + dest.upper())
        if text is not None:
            values: object = text.split() if action.nargs == "+" else text
            where = f"the environment variable {_PREFIX}{dest.upper()}"
            parser.set_defaults(**{dest: _default(action, values, where)})


def _apply_file(
    parser: argparse.ArgumentParser, options: Mapping[str, argparse.Action], file: Path
) -> None:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"The configuration {file} cannot be read ({error}).") from error
    for name, value in table.items():
        action = options.get(name.replace("-", "_"))
        if action is None:
            known = ", ".join(dest.replace("_", "-") for dest in options)
            raise SetupError(f"{file}: {name} is no option; known: {known}.")
        parser.set_defaults(**{action.dest: _default(action, value, f"{name} in {file}")})


def _default(action: argparse.Action, value: object, where: str) -> object:
    """A value as the command line would give it.

    Raises:
        SetupError: It has another type, or the option does not take it.
    """
    if action.nargs == 0:
        return _switch(value, where)
    texts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    if isinstance(value, dict) or (action.nargs != "+" and isinstance(value, list)):
        raise SetupError(f"Expected one value for {where}, got {value!r}.")
    read = action.type if callable(action.type) else str
    try:
        values = [read(text) for text in texts]
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise SetupError(f"The value of {where} is wrong: {error}.") from error
    if action.choices is not None and values[0] not in action.choices:
        raise SetupError(f"Expected one of {', '.join(action.choices)} for {where}.")
    return values if action.nargs == "+" else values[0]


def _switch(value: object, where: str) -> bool:
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise SetupError(f"Expected true or false for {where}, got {value!r}.")
    return text in _TRUE
