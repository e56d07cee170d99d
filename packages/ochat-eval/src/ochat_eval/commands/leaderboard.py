"""`ochat-eval leaderboard`: the seed's table from run folders and published results.

The table is made in `ochat_eval.leaderboard`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EPILOG = """\
PUBLISHED is a leaderboard of alpaca_eval (.csv), or JSON rows {"model", "size", "context", "free",
"alpaca_eval", "mt_bench_adjusted", "mt_bench_score"}. MODELS is a JSON list of {"model", "name",
"size", "context", "free"} that tells about models by the name they were run under.

example:
  ochat-eval leaderboard runs/gpt4 judged/mt-bench judged/alpaca --published published.json \\
      --intervals --format html > table.html
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "leaderboard",
        help="the table of models: AlpacaEval, MT-bench, and every task that was run",
        description="Draw OpenChat's table from folders of `run` and `judge`, beside published "
        "results; own rows are marked.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="DIR", help="run or judged folder")
    parser.add_argument("--published", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--only", action="append", default=[], metavar="MODEL", help="of published")
    parser.add_argument("--models", type=Path, metavar="FILE", help="what models are called")
    parser.add_argument("--intervals", action="store_true", help="show 95 %% intervals")
    parser.add_argument("--format", choices=("markdown", "json", "html"), default="markdown")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the table."""
    import orjson

    from ochat_eval.errors import JudgeError
    from ochat_eval.leaderboard import as_json, as_markdown, as_page, collect
    from ochat_eval.preferences.annotations import read_rows

    if not arguments.folders and not arguments.published:
        raise JudgeError("nothing to show: give folders of runs, or --published results")
    about: list[dict[str, Any]] = read_rows(arguments.models) if arguments.models else []
    models = {str(row.get("model")): row for row in about}
    rows = collect(arguments.folders, arguments.published, models)
    if arguments.only:
        rows = [row for row in rows if row.own or row.model in arguments.only]
    if arguments.format == "json":
        print(orjson.dumps(as_json(rows), option=orjson.OPT_INDENT_2).decode())
    elif arguments.format == "html":
        print(as_page(rows, intervals=arguments.intervals))
    else:
        print(as_markdown(rows, intervals=arguments.intervals))
    return 0
