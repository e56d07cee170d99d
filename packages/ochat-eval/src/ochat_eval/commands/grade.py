"""`ochat-eval grade`: responses with labels in, verdicts out, line by line.

The rules are in `ochat_eval.graders`; this reads and writes JSON lines.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import orjson

from ochat_eval.errors import CodeNotAllowedError, GradingError
from ochat_eval.graders.families import (
    CODE_FAMILIES,
    Grader,
    Reference,
    family_names,
    require_family,
)
from ochat_eval.profiles import profile_grader, profile_names
from ochat_eval.verdict import Verdict

_EPILOG = """\
input (standard input, one JSON object a line):
  {"response": "The answer is (B).", "label": "B", "context": {"choices": ["no", "yes"]}}
  context is optional: "choices" (texts or letters of the options), "finish_reason"; a program needs
  "prompt", "test" and "entry_point", and --allow-code
output (standard output):
  {"status": "correct", "score": 1.0, "extracted": "B", "rule": "answer-is"}

example:
  echo '{"response": "So she has $1,234.", "label": "1234"}' | ochat-eval grade gsm8k
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "grade",
        help="grade responses from standard input",
        description="Grade responses against labels by a family's rules.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("family", help=f"one of {', '.join(family_names())}")
    parser.add_argument(
        "--allow-code",
        action="store_true",
        help="run programs of the model on this machine (humaneval); best in a container",
    )
    parser.add_argument(
        "--profile",
        choices=("ochat", *profile_names()),
        default="ochat",
        help="the rules of an older grader instead of ours",
    )
    parser.set_defaults(call=call)


def call(arguments: argparse.Namespace) -> int:
    """Grade every line of standard input."""
    grader = require_family(arguments.family)
    if arguments.profile != "ochat":
        grader = profile_grader(arguments.profile, arguments.family)
    if arguments.family in CODE_FAMILIES and not arguments.allow_code:
        raise CodeNotAllowedError(
            f"grading {arguments.family} runs code that the model wrote on this machine: allow it "
            "with --allow-code, best in a container"
        )
    for verdict in grade_lines(grader, sys.stdin.buffer, allow_code=arguments.allow_code):
        row = verdict.to_json()
        del row["span"]
        sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
    sys.stdout.buffer.flush()
    return 0


def grade_lines(grader: Grader, lines: BinaryIO, *, allow_code: bool = False) -> Iterator[Verdict]:
    """The verdict on each line that is not blank.

    Raises:
        GradingError: A line is not of the documented form; names it.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _grade(grader, line, allow_code=allow_code)
        except GradingError as error:
            raise GradingError(f"line {number} of standard input: {error}") from error


def _grade(grader: Grader, line: bytes, *, allow_code: bool) -> Verdict:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise GradingError(f"not valid JSON ({error}): correct the line") from error
    response = row.get("response") if isinstance(row, Mapping) else None
    if not isinstance(response, str):
        raise GradingError('expected {"response": text, "label": ...}: correct the line')
    context = row.get("context") or {}
    if not isinstance(context, Mapping):
        raise GradingError("the field 'context' must be an object: correct the line")
    choices = _texts(context.get("choices") or context.get("options") or [], "choices")
    label = _texts([] if row.get("label") is None else row["label"], "label")
    reference = Reference(labels=tuple(label), options=tuple(choices), context=context)
    return grader(
        response, reference, finish_reason=context.get("finish_reason"), allow_code=allow_code
    )


def _texts(value: object, field: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) for each in values):
        raise GradingError(f"the field {field!r} must be a text, a number or a list of them")
    return [str(each) for each in values]
