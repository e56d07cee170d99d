"""`ochat-train export`: a checkpoint's model as a folder of its own, after the fact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Writes the model of a checkpoint as an ordinary Hugging Face folder with openchat.json, and reloads
it to compare. A run does this by itself when it ends; this is for a checkpoint in between.
An adapter (--lora, --qlora), as a checkpoint or as a folder of its own, is added to its base model;
--adapter writes it alone.

  ochat-train export run/checkpoints/step-00000100 --output model-100
  ochat-train export run/adapter --base base --output merged
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    import argparse

    parser = commands.add_parser(
        "export",
        help="write a checkpoint's model as a model folder",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint", type=Path, help="folder OUTPUT/checkpoints/step-..., or adapter"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new or empty folder"
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="base model of an adapter (default: where it was trained)",
    )
    parser.add_argument("--adapter", action="store_true", help="write an adapter without its base")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Exports and prints the model folder on standard output."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    print(_export(options))  # noqa: T201 - the output


def _export(options: argparse.Namespace) -> Path:
    source: Path = options.checkpoint
    if not source.is_dir():
        raise ConfigError(
            f"there is no checkpoint {source}; give a folder such as run/checkpoints/step-00000100"
        )
    for folder in (source, source / "model"):
        if (folder / "adapter_config.json").is_file():
            from .adapter_export import export_folder

            return export_folder(
                folder, options.output, base=options.base, merge=not options.adapter
            )
    if options.adapter or options.base is not None:
        raise ConfigError(
            f"{source} holds no adapter (adapter_config.json), only they have a base; leave "
            "--adapter and --base out"
        )
    if not (source / "state.json").is_file():
        raise ConfigError(
            f"{source} is no checkpoint of a run: it has no state.json; give a folder such as "
            "run/checkpoints/step-00000100"
        )
    from .export import export_checkpoint

    return export_checkpoint(source, options.output)
