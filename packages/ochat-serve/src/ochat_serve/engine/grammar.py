"""Answers under a JSON schema: whether it can be followed, and which tokens may come next.

llguidance does the work, here as in vLLM, with one grammar for both: the same request is held to
the same tokens by every engine. Choosing among the tokens is the engine's business.
"""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ochat_serve.errors import EngineError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from ochat_serve.engine.vocabulary import Vocabulary

# At most one space where JSON allows any: a model that sees no end would fill the answer with it.
_OPTIONS = {"whitespace_flexible": True, "whitespace_pattern": " ?"}
# vLLM's bound; deeper ones are nobody's data.
_DEEPEST = 64
_LONGEST, _LARGEST_STEP = 100_000, 10_000
_REASON_CHARACTERS = 300


def available() -> bool:
    """Whether schemas can be followed here."""
    return find_spec("llguidance") is not None


def grammar_of(schema: str) -> str:
    """The grammar of answers: one space that formats put before an answer, and the JSON.

    Args:
        schema: A JSON schema, an object, as text.
    """
    held = {**json.loads(schema), "x-guidance": _OPTIONS}
    return f'start: " "? answer\nanswer: %json {json.dumps(held)}\n'


def complaint(schema: str) -> str | None:
    """Why no answer can be held to a schema; None where it can. Takes milliseconds."""
    from llguidance import LLMatcher

    excess = _excess(schema)
    if excess is not None:
        return excess
    error = LLMatcher.validate_grammar(grammar_of(schema))
    if not error or error.startswith("WARNING"):
        return None
    # Its first line says what is wrong; the others show where in the grammar made above.
    first = error.partition("\n")[0]
    reason = first.partition("failed to compile JSON schema: ")[2] or first
    return reason.strip().rstrip(".")[:_REASON_CHARACTERS]


def _excess(schema: str) -> str | None:
    """What would take seconds to minutes to compile, which nobody's data needs."""
    if len(schema) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    left: list[tuple[object, int]] = [(json.loads(schema, parse_float=Decimal), 1)]
    while left:
        value, level = left.pop()
        if level > _DEEPEST:
            return f"it is nested more than {_DEEPEST} levels deep"
        if isinstance(value, dict):
            if _digits_of_step(value.get("multipleOf")) > _LARGEST_STEP:
                return f"multipleOf has more than the digits of {_LARGEST_STEP}"
            left += [(each, level + 1) for each in value.values()]
        elif isinstance(value, list):
            left += [(each, level + 1) for each in value]
    return None


def _digits_of_step(step: object) -> int:
    """The digits of a number without its point: the states that counting in such steps takes."""
    if not isinstance(step, (int, Decimal)) or not Decimal(step).is_finite():
        return 0
    _, digits, exponent = Decimal(step).as_tuple()
    zeros = exponent if isinstance(exponent, int) and exponent > 0 else 0
    # Beyond some length it is too large anyway, and Python refuses to read it.
    return int("".join(map(str, digits[:20])) + "0" * min(zeros, 20))


class Constraint:
    """One answer being held to its schema."""

    def __init__(self, matcher: LLMatcher) -> None:
        """Take a matcher at the beginning of the answer."""
        self._matcher = matcher

    def allowed(self) -> bytearray:
        """A byte for every id, not 0 where it may come next; never all of them 0.

        Raises:
            EngineError: The schema became too complex on the way.
        """
        mask = bytearray(self._matcher.compute_logit_bias())
        self._require_sane()
        return mask

    def accept(self, token: int) -> None:
        """Go on by one of the allowed ids."""
        self._matcher.consume_token(token)
        self._require_sane()

    def _require_sane(self) -> None:
        if self._matcher.is_error():
            raise EngineError(
                "The answer could not be held to its schema any longer: "
                f"{self._matcher.get_error()[:_REASON_CHARACTERS]}"
            )


class Constraints:
    """Begins constraints over one vocabulary; may be used from any thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Nothing is built before the first schema."""
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def begin(self, schema: str) -> Constraint:
        """A constraint at the beginning of an answer; the first one takes about a second.

        Raises:
            EngineError: The schema cannot be followed.
        """
        from llguidance import LLMatcher

        matcher = LLMatcher(self._known_tokenizer(), grammar_of(schema), log_level=0)
        if matcher.is_error():
            raise EngineError(f"The schema cannot be followed: {matcher.get_error()}")
        return Constraint(matcher)

    def _known_tokenizer(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        with self._lock:
            if self._tokenizer is None:
                known = self._vocabulary
                self._tokenizer = LLTokenizer(known.tokenizer_json(), eos_token=known.end_id)
            return self._tokenizer
