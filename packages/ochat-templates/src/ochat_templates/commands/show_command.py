"""`ochat-templates show`: everything that a template says, as JSON."""

from __future__ import annotations

import argparse
import json

from ochat_templates.registry import get_template


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "show",
        help="print everything a template says, as JSON",
        description="Prints everything a template says, as JSON.",
    )
    parser.add_argument(
        "template", help="name or alias, such as openchat_v3.2, or a template file (.toml)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the sub-command."""
    template = get_template(options.template)
    rule = template.condition
    takes_condition = bool(rule.allowed or rule.default)
    shown = {
        "name": template.name,
        "aliases": template.aliases,
        "description": template.description,
        "context_length": template.context_length,
        "bos": template.bos,
        "eot": template.eot,
        "stop": template.stop,
        "control_tokens": template.control_tokens,
        "roles": dict(template.roles),
        "turn_suffix": template.turn_suffix,
        "condition": {
            "allowed": rule.allowed or ("any short line of text" if takes_condition else "none"),
            "inference_default": rule.default,
            "training_default": rule.unlabelled,
            "turn": rule.turn,
        },
        "system_allowed": template.system_allowed,
        "strip_leading_space": template.strip_leading_space,
        "weights": dict(template.weights),
        "weight_presets": dict(template.weight_presets),
        "probes": {family: dict(texts) for family, texts in template.probes.items()},
    }
    print(json.dumps(shown, indent=2))
