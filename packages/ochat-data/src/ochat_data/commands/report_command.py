"""`ochat-data report`: a token dataset as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

_DESCRIPTION = """\
Writes one HTML page about a token dataset, which needs neither a server nor the network: examples
by condition, lengths, turns, supervised share, languages, truncation, what became of the records
on their way (duplicates, rejects), how well it packs, and samples with their learnt tokens marked.

With --tokenizer the samples are text and languages are told (with ochat-data[lang] installed).

example:
  ochat-data report dataset --tokenizer tokenizer.model --output report.html
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "report",
        help="a token dataset as one HTML page",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="DIR", help="a token dataset")
    parser.add_argument("--output", metavar="FILE", help="page to write (default: DIR.report.html)")
    parser.add_argument("--tokenizer", metavar="PATH", help="the tokenizer of the dataset")
    parser.add_argument("--template", metavar="T", help="a template file, if it is one of your own")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    from ochat_data.dataset import TokenDataset
    from ochat_data.outputs import WholeFile
    from ochat_data.report import collect_figures, render_page
    from ochat_data.stages import report
    from ochat_templates import load_codec

    folder = Path(args.path)
    dataset = TokenDataset.open(folder)
    codec = None
    if args.tokenizer:
        codec = load_codec(args.tokenizer, args.template or dataset.manifest.template)
        codec.fingerprint.require_equal(dataset.fingerprint, f"the dataset {folder}")
    page = render_page(collect_figures(dataset, codec), f"Dataset {folder.name}")
    output = Path(args.output or f"{args.path.rstrip('/')}.report.html")
    with WholeFile(output) as file:
        file.write(page.encode())
    report(f"report: wrote {output} ({len(page.encode()) // 1024} KiB)")
