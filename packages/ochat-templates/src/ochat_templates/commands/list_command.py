"""`ochat-templates list`: the templates with their aliases."""

from __future__ import annotations

import argparse

from ochat_templates.registry import get_template, template_names


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "list",
        help="list the templates with their aliases",
        description=(
            "Lists every template, the shipped ones and those that other packages register: "
            "name, aliases and description, divided by tabs."
        ),
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Runs the sub-command."""
    for name in template_names():
        template = get_template(name)
        print(f"{name}\t{', '.join(template.aliases)}\t{template.description}")
