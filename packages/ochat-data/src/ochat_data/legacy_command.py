"""The command line with which OpenChat made its training files, on today's tokenizing.

    python -m ochat.data.generate_dataset --model-type T --model-path DIR
        --in-files FILE... --out-prefix PREFIX [--per-sequence-loss]

Writes PREFIX.train.parquet and PREFIX.eval.parquet, as OpenChat's trainers read them (and ours,
through `ochat.training_deepspeed.train`). Steps and their files are those of `ochat-data tokenize`
and `ochat-data convert`, which keep more: conditions, sources, digests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .__main__ import main as run

_DESCRIPTION = """\
OpenChat's published data command; the newer ones are: ochat-data tokenize, ochat-data convert.
"""
# The releases of 2023 were trained from the layout of masks and balanced weights.
_OF_2023 = ("openchat_v3.1", "openchat_v3.2")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the published command; exit codes as `ochat-data`."""
    options = _parser().parse_args(argv)
    layout, weights, truncation = _as_released(options.model_type, options.per_sequence_loss)
    prefix = Path(options.out_prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=prefix.parent, prefix=f".{prefix.name}-") as place:
        dataset = str(Path(place) / "dataset")
        status = run(
            [
                "tokenize",
                *options.in_files,
                *("--template", options.model_type, "--tokenizer", options.model_path),
                *("--output", dataset, "--weights", weights, "--truncation", truncation),
                *("--eval-fraction", str(options.eval_ratio), "--seed", str(options.seed)),
                # Beside the result, for the folder of the steps goes away.
                *("--rejects", f"{prefix}.rejects.jsonl", "--overwrite"),
            ]
        )
        if status != 0:
            return status
        return run(["convert", dataset, "--layout", layout, "--output", str(prefix), "--overwrite"])


def _as_released(model_type: str, per_sequence_loss: bool) -> tuple[str, str, str]:
    """Layout, weights and truncation with which the model type's release was trained."""
    if model_type.startswith(_OF_2023):
        if per_sequence_loss:
            print(  # noqa: T201 - a notice to the person at the terminal
                "--per-sequence-loss: the weights of 2023 are balanced by conversation already",
                file=sys.stderr,
            )
        return "2023", "v3-balanced", "cut"
    return "2024", "turn-mean" if per_sequence_loss else "per-message", "cut-trim"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ochat.data.generate_dataset", description=_DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("--model-type", "--model_type", required=True, metavar="NAME")
    parser.add_argument(
        "--model-path",
        "--model_path",
        required=True,
        metavar="PATH",
        help="base model's folder, or a tokenizer file",
    )
    parser.add_argument(
        "--in-files", nargs="+", required=True, metavar="FILE", help="conversations, JSON Lines"
    )
    parser.add_argument("--out-prefix", required=True, metavar="PREFIX")
    parser.add_argument(
        "--per-sequence-loss", action="store_true", help="each answer counts the same"
    )
    parser.add_argument("--eval-ratio", type=float, default=0.005, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=42, metavar="N")
    return parser
