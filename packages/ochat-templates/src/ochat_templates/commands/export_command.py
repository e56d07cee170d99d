"""`ochat-templates export`: Jinja and tokenizer folders for stacks that render strings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_DESCRIPTION = """\
Exports a template for programs that render conversations to one string. Every export is rendered
back and compared with the exact ids first; the verdict is

  EXACT               every conversation gave the same ids
  EXACT EXCEPT ...    all but those of the named narrow classes
  NOT REPRESENTABLE   no string gives the ids of ordinary conversations; nothing is written
                      without --force, and the exit status is 1

examples:
  ochat-templates export jinja openchat_3.5 tokenizer.model --output chat_template.jinja
  ochat-templates export jinja openchat_v3.2 tokenizer.model --flavor train
  ochat-templates export tokenizer openchat_3.5 tokenizer.model --output model_folder
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "export",
        help="write a Jinja chat template or a tokenizer folder, compared id by id",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(title="what", required=True, metavar="WHAT")
    jinja = kinds.add_parser("jinja", help="a chat template")
    _add_common(jinja)
    jinja.add_argument(
        "--flavor",
        choices=("serve", "train"),
        default="serve",
        help="for a server, or with Transformers' generation marks (default: %(default)s)",
    )
    jinja.add_argument(
        "--output", type=Path, metavar="FILE", help="the file (default: standard output)"
    )
    jinja.set_defaults(run=run_jinja)
    folder = kinds.add_parser("tokenizer", help="a folder with tokenizer and chat template")
    _add_common(folder)
    folder.add_argument(
        "--output", type=Path, metavar="DIR", required=True, help="a new or empty folder"
    )
    folder.set_defaults(run=run_tokenizer)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "template", help="name or alias, such as openchat_v3.2, or a template file (.toml)"
    )
    parser.add_argument(
        "tokenizer", help="the .model, the tokenizer.json, or a folder with one of them"
    )
    parser.add_argument(
        "--condition", default="", metavar="C", help="the default condition that is written in"
    )
    parser.add_argument(
        "--force", action="store_true", help="write it even if it is NOT REPRESENTABLE"
    )


def run_jinja(options: argparse.Namespace) -> int:
    """Runs `export jinja`; returns the exit status."""
    from ochat_templates.export import export_jinja

    verdict, text = export_jinja(
        options.template,
        options.tokenizer,
        options.output,
        flavor=options.flavor,
        condition=options.condition,
        force=options.force,
    )
    if options.output is None:
        print(text, end="")
    print(verdict, file=sys.stderr)
    return int(verdict.kind == "NOT REPRESENTABLE")


def run_tokenizer(options: argparse.Namespace) -> int:
    """Runs `export tokenizer`; returns the exit status."""
    from ochat_templates.export import export_tokenizer

    verdict = export_tokenizer(
        options.template,
        options.tokenizer,
        options.output,
        condition=options.condition,
        force=options.force,
    )
    print(verdict, file=sys.stderr)
    return int(verdict.kind == "NOT REPRESENTABLE")
