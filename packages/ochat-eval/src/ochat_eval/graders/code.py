"""Grading of programs: the code of a response against a benchmark's tests.

Finding the code is in `programs`, running it in `sandbox`. Off unless it was allowed: the code
comes from the model under evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

from ochat_eval.errors import CodeNotAllowedError, GradingError
from ochat_eval.graders.cleaning import without_reasoning
from ochat_eval.graders.programs import program_of
from ochat_eval.graders.sandbox import run_tests
from ochat_eval.verdict import Status, Verdict, judged, unanswered

_FIELDS = ("prompt", "test", "entry_point")


def grade_code(
    response: str,
    context: Mapping[str, object],
    *,
    finish_reason: str | None = None,
    allow_code: bool = False,
) -> Verdict:
    """Grade a response that should be a program, by running the benchmark's tests on it.

    Args:
        response: What the model wrote, unchanged.
        context: `prompt` (the code to complete), `test` (defines `check`), `entry_point`.
        finish_reason: The server's; "length" turns unparsed into truncated.
        allow_code: Whether programs of the model may run on this machine.

    Returns:
        The verdict; its rule is `tests`, or `tests-` and the error that ended them.

    Raises:
        CodeNotAllowedError: Running programs is off.
        GradingError: The context lacks a field.
    """
    prompt, test, entry_point = require_context(context)
    if not allow_code:
        raise CodeNotAllowedError(
            "grading programs runs code that the model wrote on this machine: allow it with "
            "--allow-code, best in a container"
        )
    text, unclosed = without_reasoning(response)
    if unclosed:
        return unanswered(Status.TRUNCATED, "unclosed-reasoning")
    program = program_of(text, prompt, entry_point) if text.strip() else None
    if program is None:
        cut = finish_reason == "length"
        rule = "no-program" if text.strip() else "empty"
        return unanswered(Status.TRUNCATED if cut else Status.UNPARSED, rule)
    outcome = run_tests(program, test, entry_point)
    return judged(
        correct=outcome.passed,
        extracted=entry_point,
        rule="tests" if outcome.passed else f"tests-{outcome.reason}",
        span=(0, len(response)),
    )


def require_context(context: Mapping[str, object]) -> tuple[str, str, str]:
    """Prompt, tests and entry point of a programming task.

    Raises:
        GradingError: One is missing.
    """
    values = [context.get(field) for field in _FIELDS]
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(_FIELDS):
        raise GradingError(f"a program is graded with a context of {', '.join(_FIELDS)}")
    return texts[0], texts[1], texts[2]
