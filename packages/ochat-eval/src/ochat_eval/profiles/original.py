"""The rules of OpenChat's own evaluation, published in July 2023 and last changed in May 2024.

Described by their behaviour and written anew. Known to be wrong in places (a missing MMLU or GPQA
answer counts as C, GSM8K cuts numbers at commas): that is why they are a profile and no grader.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

from ochat_eval.graders.families import Reference
from ochat_eval.graders.formulas import last_box
from ochat_eval.profiles.prm800k import equal_expressions
from ochat_eval.profiles.rule import Match, bare

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = re.compile(r"\d*\.?\d+")
_BLOCK = re.compile(r"`{3}.*?\n+([\s\S]*?)\n+`{3}")
_LONGEST_MATH = 256  # characters of an answer that were looked at


def first_capital(response: str, reference: Reference) -> Match:
    """AGIEval: the first character that is one of A to F, options or not."""
    return _letter(_first(response, "ABCDEF"), reference, "first-capital")


def first_option(response: str, reference: Reference) -> Match:
    """BBH and TruthfulQA without shots: the first character that is an option."""
    return _letter(_first(response, _option_letters(reference.options)), reference, "first-option")


def first_capital_after_marker(response: str, reference: Reference) -> Match:
    """GPQA: the first of A to D after the first "The correct answer is", else C."""
    _, marker, after = response.partition("The correct answer is")
    after = after.partition("The correct answer is")[0]
    found = _first(after, "ABCD") if marker else ""
    return _letter(found or "C", reference, "after-marker", matched=bool(found))


def after_answer_is_or_c(response: str, reference: Reference) -> Match:
    """MMLU: the alphabetically first bracketed letter after the last "answer is", else (C)."""
    _, cue, after = response.rpartition("answer is")
    found = _first_bracketed(after, "ABCD") if cue else ""
    return _letter(found or "C", reference, "after-answer-is", matched=bool(found))


def after_answer_is(response: str, reference: Reference) -> Match:
    """BBH with reasoning: what follows the last "answer is ", a bracketed letter or a text."""
    before, cue, after = response.rpartition("answer is ")
    del before
    rule = "after-answer-is"
    if not cue:
        return _text(response, reference, rule, matched=False)
    answer = after.strip()
    if reference.options:
        letter = _first_bracketed(answer, _ALPHABET)
        if letter:
            return _letter(letter, reference, rule)
        return Match(answer=answer, matched=False, correct=False, rule=rule)
    return _text(answer.removesuffix("."), reference, rule, matched=True)


def after_answer_is_2023(response: str, reference: Reference) -> Match:
    """The same; where nothing follows the cue, the version of 2023 broke off with an error."""
    _, cue, after = response.rpartition("answer is ")
    if cue and not after.strip() and not reference.options:
        return Match(answer="", matched=False, correct=False, rule="after-answer-is")
    return after_answer_is(response, reference)


def last_digits(response: str, reference: Reference) -> Match:
    """GSM8K: the last run of digits, as a text; commas split it and a minus is not seen."""
    found = _DIGITS.findall(response)
    return _text(found[-1] if found else response, reference, "last-digits", matched=bool(found))


def equal_by_prm800k(response: str, reference: Reference) -> Match:
    """MATH: what follows the last "The answer is", else the last box; compared as PRM800K did."""
    _, cue, after = response.rpartition("The answer is")
    box = None if cue else last_box(response)
    content = box.content if box and box.closed else ""
    answer = (after.strip() if cue else content or response)[:_LONGEST_MATH]
    labels = [box.content if (box := last_box(each)) else each for each in reference.labels]
    correct = any(equal_expressions(answer, label) for label in labels)
    return Match(answer=answer, matched=bool(cue or content), correct=correct, rule="prm800k")


def first_parsing_block(response: str, reference: Reference) -> Match:
    """HumanEval: the first code block, or the whole, that parses and defines the function.

    Scored by EvalPlus afterwards; here by the benchmark's own tests, in our sandbox.
    """
    from ochat_eval.graders.code import require_context
    from ochat_eval.graders.sandbox import run_tests

    prompt, tests, entry_point = require_context(reference.context)
    imports = prompt.split("def")[0].strip() + "\n\n"
    for prefix in (imports, prompt):
        for block in (*_BLOCK.findall(response), response):
            if _defines(prefix + block, entry_point):
                outcome = run_tests(prefix + block, tests, entry_point)
                return Match(
                    answer=entry_point, matched=True, correct=outcome.passed, rule="first-block"
                )
    return Match(answer="", matched=False, correct=False, rule="first-block")


def _defines(source: str, name: str) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.walk(tree))


def _first(text: str, letters: Iterable[str]) -> str:
    wanted = frozenset(letters)
    return next((character for character in text if character in wanted), "")


def _first_bracketed(text: str, letters: str) -> str:
    return next((letter for letter in letters if f"({letter})" in text), "")


def _option_letters(options: Sequence[str]) -> list[str]:
    """The letters of options that are letters, or are numbered by them."""
    names = [bare(option) for option in options]
    if all(len(name) == 1 for name in names):
        return names
    return list(_ALPHABET[: len(options)])


def _letter(letter: str, reference: Reference, rule: str, *, matched: bool | None = None) -> Match:
    correct = bool(letter) and letter in map(bare, reference.labels)
    found = bool(letter) if matched is None else matched
    return Match(answer=letter, matched=found, correct=correct, rule=rule)


def _text(answer: str, reference: Reference, rule: str, *, matched: bool) -> Match:
    return Match(answer=answer, matched=matched, correct=answer in reference.labels, rule=rule)
