"""`ochat-train export`: a checkpoint's model as a folder of its own, after the fact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Writes the model of a checkpoint as an ordinary Hugging Face folder with openchat.json, and reloads
it to compare. A run does this by itself when it ends; this is for a checkpoint in between.

  ochat-train export run/checkpoints/step-00000100 --output model-100
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
    parser.add_argument("checkpoint", type=Path, help="folder OUTPUT/checkpoints/step-...")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new or empty folder"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Exports and prints the model folder on standard output."""
    from transformers.utils import logging

    from .export import export_checkpoint

    logging.set_verbosity_error()
    print(export_checkpoint(options.checkpoint, options.output))  # noqa: T201 - the output
