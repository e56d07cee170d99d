"""`ochat-eval winrate`: the win rate of a file of alpaca_eval annotations.

The figures are made in `ochat_eval.preferences`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

_EPILOG = """\
ANNOTATIONS.json is a list of {"instruction", "output_1", "output_2", "preference"}: the first
answer is the baseline's, the second the model's. A preference is 1 (the first) to 2 (the second);
0 or 1.5 is a draw, null is left out. With "model_first" true or false, as `ochat-eval judge` writes
it, the place is known and its effect is taken out too.

win_rate, standard_error and counts are those of alpaca_eval's leaderboards.
length_controlled_winrate is a fit of ours. alpaca_eval's own also knows how hard each instruction
is, from the judgements of many models; --difficulty-from takes that from the annotations of other
models, and comes closer. Where one side is nearly always longer ("length_overlap" in judge_bias,
in percent), the estimate rests on the form of the model, and its interval is as wide as it says.

example:
  ochat-eval winrate annotations.json --difficulty-from annotations-of-another-model.json
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "winrate",
        help="win rate, also at equal length, of a file of judged pairs",
        description="Print the win rate of a file of alpaca_eval annotations as one JSON object, "
        "with 95 % intervals and with what the judge gave for length and place.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("annotations", type=Path, metavar="ANNOTATIONS.json")
    parser.add_argument(
        "--difficulty-from",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="annotations of another model under the same judge; may be repeated",
    )
    parser.add_argument(
        "--draws", type=_draws, default=1000, help="of the bootstrap (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Print the JSON object."""
    from ochat_eval.preferences.annotations import Preference, preferences_of, read_rows
    from ochat_eval.preferences.control import difficulties
    from ochat_eval.preferences.winrate import win_rate

    def read(path: Path) -> list[Preference]:
        return preferences_of(read_rows(path), path)

    found = win_rate(
        read(arguments.annotations),
        difficulty=difficulties([read(path) for path in arguments.difficulty_from]),
        draws=arguments.draws,
        seed=abs(arguments.seed),
    )
    told = orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    sys.stdout.buffer.write(told + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _draws(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 100")
    return int(text)
