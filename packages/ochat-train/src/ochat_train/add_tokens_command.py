"""`ochat-train add-tokens`: a base model with the end-of-turn token that its template needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Copies a model folder and adds control tokens to its tokenizer and its embeddings. New rows start at
the mean of the existing ones; rows that only pad the vocabulary are used first. What was written is
reloaded and compared.

  ochat-train add-tokens --model llama-2-13b --tokens '<|end_of_turn|>' --output llama-2-13b-eot
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    import argparse

    parser = commands.add_parser(
        "add-tokens",
        help="add control tokens to a base model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="base model")
    parser.add_argument(
        "--tokens", nargs="+", required=True, metavar="TOKEN", help="spellings, each new"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new or empty folder"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Adds the tokens and prints their ids."""
    from transformers.utils import logging

    from .add_tokens import add_tokens

    logging.set_verbosity_error()
    for token, token_id in add_tokens(options.model, options.tokens, options.output).items():
        print(f"{token}\t{token_id}")  # noqa: T201 - the output
