"""`ochat-templates verify`: does a tokenizer, a folder or a server still follow the rule?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

_DESCRIPTION = """\
Verifies a tokenizer against the encoding rule: fixed probes and golden cases of the known
vocabularies, seeded conversations and texts, spelt control tokens, and SentencePiece against its
conversion. With --hf and --url, what Transformers or a server makes of the same texts. Exits with
0 if all is exact, with 1 and the named causes if not.

examples:
  ochat-templates verify openchat_v3.2 tokenizer.model
  ochat-templates verify openchat_3.5 tokenizer.model --hf model_folder
  ochat-templates verify openchat_3.6 model_folder --url http://127.0.0.1:8000
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "verify",
        help="verify a tokenizer, a folder or a server against the rule, and name what drifted",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "template", help="name or alias, such as openchat_v3.2, or a template file (.toml)"
    )
    parser.add_argument(
        "tokenizer", help="the reference: a .model, a tokenizer.json, or a folder with one"
    )
    parser.add_argument(
        "--hf", metavar="DIR", type=Path, help="also compare what Transformers reads there"
    )
    parser.add_argument(
        "--url", metavar="SERVER", help="also compare a running vLLM server, by its /tokenize"
    )
    parser.add_argument(
        "--cases",
        type=_positive,
        default=300,
        metavar="N",
        help="seeded conversations; ten times as many texts (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the random ones (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the sub-command; returns the exit status."""
    from ochat_templates.verification import verify

    report = verify(
        options.template,
        options.tokenizer,
        hf=options.hf,
        url=options.url,
        seed=options.seed,
        cases=options.cases,
    )
    print(json.dumps(report.to_json()) if options.json else report.to_text())
    return 0 if report.exact else 1


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
