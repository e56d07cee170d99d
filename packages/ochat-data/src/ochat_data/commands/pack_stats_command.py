"""`ochat-data pack-stats`: how well given lengths pack."""

from __future__ import annotations

import argparse
import sys

from .options import whole

_DESCRIPTION = """\
Packs one epoch of examples of the given lengths and prints one JSON object:

  steps             optimiser steps, the last and usually shorter one included
  fill              tokens / (ranks x capacity), mean over all steps but the last
  cost_imbalance    max/mean over ranks of the sum of length squared, mean over steps
  token_imbalance   the same of the sum of lengths
  homogeneity       spread of the steps' mean log-length, divided by that of random steps
  last_step_fill    fill of the last step
  dropped           examples never trained (always 0)
  seconds           time to make the plan

A figure is null where there are too few steps to tell. FILE holds integers of any width; a token
dataset's are TokenDataset.open(DIR).split("train").lengths.

example:
  ochat-data pack-stats --lengths lengths.npy --capacity 32768 --world-size 8
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "pack-stats",
        help="how well given lengths pack, as one JSON object",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lengths", required=True, metavar="FILE.npy", help="tokens an example")
    parser.add_argument(
        "--capacity", required=True, type=whole, metavar="N", help="most tokens a rank and step"
    )
    parser.add_argument(
        "--world-size", type=whole, default=1, metavar="R", help="ranks (default: %(default)s)"
    )
    parser.add_argument(
        "--epoch", type=whole, default=0, metavar="E", help="epoch to plan (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=whole,
        default=0,
        metavar="S",
        help="seed of the shuffle (default: %(default)s)",
    )
    parser.add_argument(
        "--mode",
        choices=("random", "throughput"),
        default="random",
        help="random steps, or fuller and more even ones that are sorted (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the sub-command."""
    import json
    import time
    from dataclasses import asdict

    import numpy as np

    from ochat_data.errors import InputError, PackingError
    from ochat_data.pack_statistics import pack_statistics
    from ochat_data.packing import plan_batches

    try:
        lengths: object = np.load(args.lengths, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a NumPy file"
        raise InputError(
            f"cannot read {args.lengths}: {reason}; write it with numpy.save(path, lengths)"
        ) from error
    if not isinstance(lengths, np.ndarray):
        raise InputError(f"{args.lengths} holds several arrays; save one with numpy.save")
    # A compiler's work is done once a machine and says nothing of the plan.
    plan_batches(np.ones(len(lengths), dtype=np.int64), capacity=args.capacity or 1)
    started = time.perf_counter()
    plan = plan_batches(
        lengths,
        capacity=args.capacity,
        world_size=args.world_size,
        seed=args.seed,
        epoch=args.epoch,
        mode=args.mode,
    )
    seconds = time.perf_counter() - started
    if not plan.steps:
        raise PackingError(f"{args.lengths} holds no lengths; there is nothing to pack")
    figures = {**asdict(pack_statistics(plan, lengths)), "seconds": round(seconds, 4)}
    sys.stdout.write(json.dumps(figures) + "\n")
