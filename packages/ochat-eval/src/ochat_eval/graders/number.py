"""Grading of numeric answers: the last number that the response commits itself to, by value.

Commitments are "the answer is 18", a box, or a `####` line; without one the last concluding
sentence counts ("so she has 18"), and last of all the last number. Several numbers in one
commitment ("10 or 12") are a hedge and wrong; a denied one ("less than 8") is none. Values
are compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from ochat_eval.errors import GradingError
from ochat_eval.graders.cleaning import clean
from ochat_eval.graders.cues import Cue, find_cues, window, without_denials
from ochat_eval.graders.denials import affirmed
from ochat_eval.graders.quantities import Quantity, quantities, shown, spelled_out
from ochat_eval.verdict import Status, Verdict, judged, unanswered

_THIN_SPACE = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_CORRECTION = re.compile(r"\b(?:but|rather|instead)\b", re.IGNORECASE)
_DENIAL = re.compile(r"\s*(?:certainly |definitely )?(?:not|neither)\b", re.IGNORECASE)
_APPROXIMATE = re.compile(
    r"(?:\s|\$|[\"'({\[]|\\[(\[]|\b(?:about|approximately|exactly|just|only|simply|therefore"
    r"|thus)\b)*",
    re.IGNORECASE,
)
# Between two numbers of a hedge, a range or a sum there is at most a unit, and this.
_JOINED = re.compile(
    r"[\s%$\\)}]*(?P<unit>[A-Za-z]+)?\s*(?:,?\s*\b(?P<word>or|and|to|versus)\b|[-+*/\u00d7\u00f7^])\s*"
    r"(?:\b(?:maybe|perhaps|possibly|about|even)\b\s*)*[$\\({]*$"
)
_UNIT = re.compile(r"[\s%$\\)}]*([A-Za-z]+)?")
_EQUALS = re.compile(r"(?:=|\bequals)\s*[$\\({\[]*\s*$")
# "6 or so", "not so sure" and "so far" conclude nothing.
_CONCLUDING = re.compile(
    r"(?<!\bor\s)(?<!\bnot\s)\bso\b(?!\s+(?:sure|certain|many|much|far|on|forth)\b)"
    r"|\b(?:therefore|thus|hence|total|totals|altogether|overall|finally|in\s+all)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^\n]+?(?:[.!?](?=\s)|\n|$)")
_RANGE = re.compile(r"\b(?:between|from)\s+(?:(?:about|around)\s+)?[$\\({]*$", re.IGNORECASE)
_ASIDE = re.compile(r"\([^()\n]*\)")


def grade_number(
    response: str,
    label: str | Sequence[str],
    options: Sequence[str] = (),
    *,
    finish_reason: str | None = None,
) -> Verdict:
    """Grade a response to a question whose answer is a number.

    Args:
        response: What the model wrote, unchanged.
        label: The right number as text, or several that all count.
        options: Not used; there so that all graders are called alike.
        finish_reason: The server's; after "length" only a complete commitment counts.

    Returns:
        The verdict; `extracted` is the value, or the values joined by " or " for a hedge.

    Raises:
        GradingError: The label is no number. No response makes this raise.
    """
    del options
    key = {_label_value(each) for each in ([label] if isinstance(label, str) else label)}
    cleaned = clean(_THIN_SPACE.sub(",", response))
    if cleaned.unclosed:
        return unanswered(Status.TRUNCATED, "unclosed-reasoning")
    cut = finish_reason == "length"
    result = _extract(cleaned.text, cut=cut)
    if isinstance(result, str):
        return unanswered(Status.TRUNCATED if cut else Status.UNPARSED, result)
    found, rule = result
    values = list(dict.fromkeys(quantity.value for quantity in found))
    return judged(
        correct=len(values) == 1 and values[0] in key,
        extracted=" or ".join(map(shown, values)),
        rule=rule if len(values) == 1 else "hedge",
        span=(found[0].start, found[-1].end),
    )


def _label_value(label: str) -> Fraction:
    values = list(quantities(label))
    if len(values) != 1:
        raise GradingError(f"the label {label!r} is not one number: correct it, or the family")
    return values[0].value


def _extract(text: str, *, cut: bool) -> tuple[list[Quantity], str] | str:
    """What was found and by which rule, or the name of the reason why nothing was."""
    if not text.strip():
        return "empty"
    for cue in reversed(find_cues(text)):
        if _unfinished(text, cue):
            return "cut-off"
        found = _announced(text, cue)
        if found:
            touches_end = cut and found[-1].end >= len(text.rstrip())
            return "cut-off" if touches_end else (found, cue.rule)
    return "cut-off" if cut else _uncommitted(text)


def _unfinished(text: str, cue: Cue) -> bool:
    rest = text[cue.end :]
    return not rest.strip(" .\n:$\\({[") or (cue.rule == "boxed" and "}" not in rest)


def _announced(text: str, cue: Cue) -> list[Quantity]:
    """The number, or the alternatives, that a cue announces."""
    begin, end = window(text, cue.end)
    if _DENIAL.match(text, begin, end):
        corrected = _CORRECTION.search(text, begin, end)
        begin = corrected.end() if corrected else end
    approximate = _APPROXIMATE.match(text, begin, end)
    if word := spelled_out(text, approximate.end() if approximate else begin, end):
        return [word]
    # One sign back, so that the minus of "= -5" is still seen; the window skipped it.
    found = affirmed(text, quantities(text, _signed(text, begin, cue.end), end), begin)
    if not found:
        return []
    equal = [i for i, each in enumerate(found) if _EQUALS.search(text, begin, each.start)]
    first = equal[-1] if equal else 0
    return _with_alternatives(text, found[first:])


def _signed(text: str, begin: int, floor: int) -> int:
    while begin > floor and text[begin - 1] in "- ":
        begin -= 1
    return begin


def _with_alternatives(text: str, found: list[Quantity]) -> list[Quantity]:
    """The first number and those joined to it by "or", "and", "to", or an operator."""
    taken = found[:1]
    for following in found[1:]:
        joined = _JOINED.fullmatch(text, taken[-1].end, following.start)
        if joined is None:
            break
        after = _UNIT.match(text, following.end)
        unit, other = joined["unit"], after[1] if after else None
        if joined["word"] == "or" and unit and other and unit != other:
            break  # "24 hours or 1 day" says the same twice
        taken.append(following)
    return taken


def _uncommitted(text: str) -> tuple[list[Quantity], str] | str:
    """The number of the last concluding sentence, else the last number outside parentheses."""
    text = without_denials(text)
    open_text = _ASIDE.sub(lambda match: " " * len(match[0]), text)
    concluding = [m for m in _SENTENCE.finditer(open_text) if _CONCLUDING.search(m[0])]
    for sentence in reversed(concluding):
        start, end = sentence.span()
        if found := affirmed(open_text, quantities(open_text, start, end), start):
            return _last(open_text, found), "conclusion"
    for candidate in (open_text, text):
        if found := affirmed(candidate, quantities(candidate)):
            return _last(candidate, found), "last-number"
    return "no-number"


def _last(text: str, found: list[Quantity]) -> list[Quantity]:
    """The last number with the ones that it is hedged with."""
    if len(found) > 1:
        between = _JOINED.fullmatch(text, found[-2].end, found[-1].start)
        if between and (between["word"] == "or" or _is_range(text, found[-2].start, between)):
            return found[-2:]
    return found[-1:]


def _is_range(text: str, start: int, between: re.Match[str]) -> bool:
    """Whether the two numbers are the ends of "between 20 and 24" or "from 20 to 24"."""
    return between["word"] in ("and", "to") and _RANGE.search(text, 0, start) is not None
