"""The worker process of `worker`: pairs of expressions in, true, false or null out, a line each.

Run as a file, so that it imports math-verify and nothing of this package. The deadline is CPU time,
measured here.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from collections.abc import Callable
from types import FrameType

_MEMORY_BYTES = 4 * 2**30


class _DeadlineError(BaseException):
    """Raised by the timer; no `except Exception` of a library may swallow it."""


def main() -> None:
    """Answer until the input ends."""
    seconds = float(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    answer_of = _questions()
    signal.signal(signal.SIGPROF, _ring)
    sys.stdout.write("\n")  # the sign that it is ready
    sys.stdout.flush()
    for line in sys.stdin:
        question, *expressions = json.loads(line)
        answer = _in_time(answer_of[question], expressions, seconds)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _in_time(answer_of: Callable[..., bool], expressions: list[str], seconds: float) -> bool | None:
    """The answer; None where the deadline rings or SymPy gives up: not shown is not false."""
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer = answer_of(*expressions)
        signal.setitimer(signal.ITIMER_PROF, 0)
    except (_DeadlineError, Exception):
        signal.setitimer(signal.ITIMER_PROF, 0)
        return None
    return bool(answer)


def _questions() -> dict[str, Callable[..., bool]]:
    """What can be asked; importing what answers it takes about a second."""
    from math_verify import parse, verify
    from sympy import simplify
    from sympy.parsing.sympy_parser import (
        implicit_multiplication_application,
        parse_expr,
        standard_transformations,
    )

    def equal(gold: str, given: str) -> bool:
        target = parse(f"${given}$", parsing_timeout=0)
        label = parse(f"${gold}$", parsing_timeout=0)
        # Either order: the treatment of units and percent depends on which comes first.
        return verify(label, target, timeout_seconds=0) or verify(target, label, timeout_seconds=0)

    def zero(expression: str) -> bool:
        rules = (*standard_transformations, implicit_multiplication_application)
        parsed = parse_expr(expression.replace("^", "**"), transformations=rules)
        return bool(simplify(parsed) == 0)

    parse("$1$", parsing_timeout=0)  # builds its tables
    return {"equal": equal, "zero": zero}


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise _DeadlineError


if __name__ == "__main__":
    main()
