"""The command `ochat-templates`: finds the sub-command, runs it, turns errors into one sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .commands import (
    encode_command,
    export_command,
    list_command,
    show_command,
    verify_command,
)
from .errors import TemplatesError

_DESCRIPTION = """\
Turn conversations into the exact tokens of OpenChat models.

  ochat-templates list
  ochat-templates show openchat_v3.2
  ochat-templates encode openchat_v3.2 tokenizer.model < conversations.jsonl
  ochat-templates verify openchat_v3.2 tokenizer.model --hf model_folder
  ochat-templates export tokenizer openchat_v3.2 tokenizer.model --output model_folder
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
    except TemplatesError as error:
        print(f"ochat-templates: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, say) has seen enough; Python would complain at exit otherwise.
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"ochat-templates: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    return status or 0


class _Version(argparse.Action):
    """Looks the version up only when asked: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Prints it, and leaves."""
        from importlib.metadata import version

        print(parser.prog, version("ochat-templates"))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ochat-templates",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (list_command, show_command, encode_command, verify_command, export_command):
        module.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
