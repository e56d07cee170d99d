"""The command `ochat-data`: finds the sub-command, runs it, turns errors into one sentence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .commands import (
    clean_command,
    convert_command,
    dedup_command,
    filter_command,
    import_command,
    inspect_command,
    label_command,
    mix_command,
    pack_stats_command,
    rejects_command,
    report_command,
    run_command,
    split_command,
    tokenize_command,
)

_DESCRIPTION = """\
From raw chat dumps to a training set, one step a command; each reads and writes JSON Lines:

  ochat-data import dump.json --output records.jsonl
  ochat-data clean records.jsonl --output clean.jsonl
  ochat-data label clean.jsonl --output labelled.jsonl --map gpt-4=GPT4 --map '*=GPT3' \\
      --weights crlft-0.1
  ochat-data tokenize labelled.jsonl --template openchat_v3.2 --tokenizer tokenizer.model \\
      --output dataset
  ochat-data inspect dataset --tokenizer tokenizer.model
"""


class _Version(argparse.Action):
    """Looks the version up only when asked: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Prints it, and leaves."""
        from importlib.metadata import version

        print(parser.prog, version("ochat-data"))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The command line, without any of the libraries that the work needs."""
    parser = argparse.ArgumentParser(
        prog="ochat-data",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        run_command,
        import_command,
        clean_command,
        filter_command,
        dedup_command,
        split_command,
        label_command,
        mix_command,
        tokenize_command,
        inspect_command,
        report_command,
        rejects_command,
        convert_command,
        pack_stats_command,
    ):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    args = build_parser().parse_args(argv)
    from ochat_templates import TemplatesError

    from .errors import DataError

    try:
        args.run(args)
    except (DataError, TemplatesError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has enough; leaving quietly is what a filter does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"the operating system refused: {error}; no output was written")
    except KeyboardInterrupt as interrupt:
        _fail(str(interrupt) or "interrupted; no output was written")
        return 130
    return 0


def _fail(sentence: str) -> int:
    """Writes the sentence on a line of its own, over a progress line if there is one."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}ochat-data: {sentence}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
