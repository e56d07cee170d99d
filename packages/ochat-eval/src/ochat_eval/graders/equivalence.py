"""Whether two mathematical expressions are equal: what needs no algebra here, the rest by workers.

Algebra (math-verify on SymPy) runs in processes of its own, because it may take for ever and
because it needs the main thread's alarm. A deadline counts the worker's own CPU time, so that a
busy machine changes no verdict; a worker that does not come back is ended and replaced.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from importlib.util import find_spec
from queue import LifoQueue
from typing import ClassVar

from ochat_eval.errors import GradingError
from ochat_eval.graders.formulas import (
    digits_and_base,
    in_percent,
    normalised,
    plain_text,
    without_name,
)
from ochat_eval.graders.quantities import quantities
from ochat_eval.graders.worker import MathWorker

_CACHED = 100_000


class Equality(StrEnum):
    """What could be shown about two expressions."""

    EQUAL = "equal"
    UNEQUAL = "unequal"
    UNDECIDED = "undecided"


class Equivalence:
    """Decides equality with up to so many worker processes, started when first needed."""

    _shared: ClassVar[Equivalence | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, *, workers: int | None = None, cpu_seconds: float = 5.0) -> None:
        """Prepare; nothing is started yet.

        Args:
            workers: Processes at most; None takes the cores up to four.
            cpu_seconds: CPU time that one comparison may take.
        """
        count = workers or min(4, os.cpu_count() or 1)
        self._free: LifoQueue[MathWorker] = LifoQueue()
        for _ in range(count):
            self._free.put(MathWorker(cpu_seconds=cpu_seconds))
        self._count = count
        self._algebra = lru_cache(maxsize=_CACHED)(self._ask)

    @classmethod
    def shared(cls) -> Equivalence:
        """The one of this process; its workers end with it."""
        with cls._lock:
            if cls._shared is None:
                require_math_verify()
                cls._shared = cls()
                atexit.register(cls._shared.close)
            return cls._shared

    def compare(self, label: str, answer: str) -> Equality:
        """Whether an answer equals a label."""
        gold, given = normalised(label), normalised(answer)
        if in_percent(label) != in_percent(answer) and _same_share(gold, given, label):
            return Equality.EQUAL
        if decided := _without_algebra(gold, given):
            return decided
        if without_name(gold) == gold or _same_name(gold, given):
            given = without_name(given)
        if _same_name(gold, answer):
            gold = without_name(gold)
        return _without_algebra(gold, given) or self._algebra(gold, given)

    def is_zero(self, expression: str) -> bool:
        """Whether a plain expression ("(x+1)-(1+x)") simplifies to zero; False where undecided."""
        with self._worker() as worker:
            return worker.ask("zero", expression) is True

    def close(self) -> None:
        """End the workers."""
        for _ in range(self._count):
            worker = self._free.get()
            worker.close()
            self._free.put(worker)

    def _ask(self, gold: str, given: str) -> Equality:
        with self._worker() as worker:
            answer = worker.ask("equal", gold, given)
        if answer is None:
            return Equality.UNDECIDED
        return Equality.EQUAL if answer else Equality.UNEQUAL

    @contextmanager
    def _worker(self) -> Iterator[MathWorker]:
        worker = self._free.get()
        try:
            yield worker
        finally:
            self._free.put(worker)


def require_math_verify() -> None:
    """Return if mathematics can be graded here.

    Raises:
        GradingError: math-verify is not installed.
    """
    if find_spec("math_verify") is None:
        raise GradingError(
            "grading mathematics needs math-verify: install it with pip install 'ochat-eval[math]'"
        )


def _without_algebra(gold: str, given: str) -> Equality | None:
    """The verdict where no algebra is needed: the same text, two numbers, a number's base."""
    if not given:
        return Equality.UNEQUAL
    if "".join(gold.split()) == "".join(given.split()):
        return Equality.EQUAL
    words = plain_text(gold)
    if words.replace(" ", "").isalpha() and len(words) > 1 and "\\" not in words:
        same = words == plain_text(given).strip("() .")
        return Equality.EQUAL if same else None
    gold_base, given_base = digits_and_base(gold), digits_and_base(given)
    if gold_base or given_base:
        bare = (gold_base or (gold, ""))[0] == (given_base or (given, ""))[0]
        both = gold_base and given_base and gold_base[1] != given_base[1]
        return Equality.EQUAL if bare and not both else Equality.UNEQUAL
    first, second = _number(gold), _number(given)
    if first is None or second is None:
        return None
    return Equality.EQUAL if first == second else Equality.UNEQUAL


def _same_share(gold: str, given: str, label: str) -> bool:
    """Whether one is the other's percentage: 5 % and 0.05."""
    first, second = _number(gold), _number(given)
    if first is None or second is None:
        return False
    return first == 100 * second if in_percent(label) else 100 * first == second


def _number(expression: str) -> Fraction | None:
    """The exact value of an expression that is one written number and nothing else."""
    found = list(quantities(expression))
    if len(found) != 1 or (found[0].start, found[0].end) != (0, len(expression)):
        return None
    return found[0].value


def _same_name(gold: str, given: str) -> bool:
    """Whether both give the same letter a value."""
    first, equals, _ = gold.partition("=")
    other, again, _ = given.partition("=")
    return bool(equals and again) and first.strip() == other.strip()
