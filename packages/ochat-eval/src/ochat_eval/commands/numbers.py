"""Numbers of the command line, each refused where it cannot mean anything."""

from __future__ import annotations

import argparse


def between(text: str, low: float, high: float) -> float:
    """A number within bounds, both included.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    return between(text, 0.0, 1.0)
