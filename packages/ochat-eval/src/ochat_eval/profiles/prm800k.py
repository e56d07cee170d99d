r"""How PRM800K's grader, which OpenChat's evaluation of 2024 used, tells whether answers are equal.

First the string form of `hendrycks`, then a normalised form, then, element by element of a tuple,
SymPy's simplification of the difference. Written anew; LaTeX becomes text by the few rules that the
answers of MATH need. The algebra runs in our worker processes with their deadline.
"""

from __future__ import annotations

import re

from ochat_eval.graders.equivalence import Equivalence
from ochat_eval.profiles.hendrycks import string_form, unboxed_text
from ochat_eval.profiles.latex_text import latex_to_text

_BRACKETS = "()[]"
_UNITS = [
    "degree",
    "cm",
    "centimeter",
    "meter",
    "mile",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "foot",
    "feet",
    "inch",
    "yard",
]
_POWERS = (("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"))
_THOUSANDS = re.compile(r"(\d),(\d\d\d)($|\D)")
_RATIO = re.compile(r"-?[0-9]+.?/0*[1-9][0-9]*.?$")
# Expressions that the grader refused to simplify, for fear of hanging.
_REFUSED = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]+")
_SAFE = re.compile(r"[0-9A-Za-z+\-*/^().,! \u0370-\u03ff]*")


def equal_expressions(given: str, label: str) -> bool:
    """Whether an answer counted as equal to a label."""
    if string_form(unboxed_text(label)) == string_form(unboxed_text(given)):
        return True
    gold, answer = _normalised(label), _normalised(given)
    if gold == answer:
        return True
    if not answer:
        return False
    golds, answers = _elements(gold), _elements(answer)
    same_brackets = gold[:1] == answer[:1] and gold[-1:] == answer[-1:]
    if len(golds) != len(answers) or (len(golds) > 1 and not same_brackets):
        return False
    return all(_equal_element(*pair) for pair in zip(golds, answers, strict=True))


def _equal_element(gold: str, answer: str) -> bool:
    if _RATIO.match(gold) and _RATIO.match(answer):
        return gold == answer  # a fraction that is not reduced did not count
    if _is_whole(gold) != _is_whole(answer):
        return False
    difference = f"({gold})-({answer})"
    letters = {c for c in difference.replace("sqrt", "").replace("frac", "") if c.isalpha()}
    if len(letters) > 2 or _REFUSED.search(difference) or not _SAFE.fullmatch(difference):
        return False
    return Equivalence.shared().is_zero(difference)


def _normalised(expression: str) -> str:
    text = expression
    if match := re.match(r"\\text\{(.+?)\}$", text):
        text = match[1]
    text = text.replace(r"\%", "").replace(r"\$", "").replace("$", "").replace("%", "")
    text = text.replace(" or ", " , ").replace(" and ", " , ")
    for word, power in _POWERS:
        text = text.replace(word, power)
    for unit in _UNITS:
        text = re.sub(rf"{unit}(es)?(s)? *(\^[0-9]+)?", "", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text[:1] == "{" and text[-1:] == "}":
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    value = _float(text)
    if value is not None and _whole(value):
        text = str(round(value))
    if "\\" in text:
        text = latex_to_text(text)
    text = re.sub("- *", "-", text)
    text = re.sub("([0-9]) +([0-9])", r"\1+\2", text)
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(text.replace(",", "")))) if _is_whole(text) else text


def _elements(expression: str) -> list[str]:
    text = _without_thousands(expression)
    if not text:
        return []
    enclosed = len(text) > 2 and text[0] in _BRACKETS and text[-1] in _BRACKETS
    if enclosed and not any(bracket in text[1:-1] for bracket in _BRACKETS):
        return [element.strip() for element in text[1:-1].split(",")]
    return [text]


def _without_thousands(text: str) -> str:
    while (shorter := _THOUSANDS.sub(r"\1\2\3", text)) != text:
        text = shorter
    return text


def _is_whole(text: str) -> bool:
    value = _float(_without_thousands(text))
    return value is not None and _whole(value)


def _whole(value: float) -> bool:
    try:
        return abs(value - round(value)) <= 1e-7
    except (OverflowError, ValueError):
        return False


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
