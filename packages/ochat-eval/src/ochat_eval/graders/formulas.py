r"""Finding and normalising LaTeX: boxes with their braces, and forms that mean the same expression.

Text in, text out; no algebra is done here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOX = re.compile(r"\\f?boxed\b\s*")
_SPACES = re.compile(r"(?<!\\)\\[,;:! ]|\\q?quad\b|~|\s+")
_SIZES = re.compile(r"\\(?:left|right|bigg?|Bigg?)(?![A-Za-z])|\\displaystyle\b")
_FRACTIONS = re.compile(r"\\[dtc]frac\b")
_SHORT_FRACTION = re.compile(r"\\frac\s*(?:(\d)\s*(\d)|\{([^{}]*)\}\s*(\d)|(\d)\s*\{([^{}]*)\})")
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree\b|\u00b0|\bdegrees?\b)")
_ANGLE_FUNCTION = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)\b|\\(?:sin|cos|tan|cot|sec|csc)")
_PERCENT = re.compile(r"\s*\\?%")
_DOLLAR = re.compile(r"\\\$|(?<!\\)\$")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!|,(?=\d{3}(?!\d)))(?=\d{3})")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_ASSIGNED = re.compile(r"\s*[A-Za-z](?:_\{?\w+\}?|\([A-Za-z]\))?\s*(?:=|\\in(?![a-z]))\s*(?=\S)")
_BASE = re.compile(r"([0-9A-F]+)_\{?\(?(\d{1,2})\)?\}?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box: its content, its place, and whether its brace is closed."""

    content: str
    start: int
    end: int
    closed: bool


def boxes(text: str) -> list[Box]:
    """Every box that is in no other box, from left to right."""
    found: list[Box] = []
    position = 0
    while opening := _BOX.search(text, position):
        if not text.startswith("{", opening.end()):
            content = re.compile(r"[^\s$]*").match(text, opening.end())
            end = content.end() if content else opening.end()
            box = Box(
                content=text[opening.end() : end], start=opening.start(), end=end,
                closed=end > opening.end(),
            )  # fmt: skip
        else:
            box = _braced(text, opening)
        found.append(box)
        position = box.end
    return found


def last_box(text: str) -> Box | None:
    """The last box of a text."""
    found = boxes(text)
    return found[-1] if found else None


def _braced(text: str, opening: re.Match[str]) -> Box:
    depth = 0
    for index in range(opening.end(), len(text)):
        if text[index] in "{}" and text[index - 1] != "\\":
            depth += 1 if text[index] == "{" else -1
        if depth == 0:
            content = text[opening.end() + 1 : index]
            return Box(content=content.strip(), start=opening.start(), end=index + 1, closed=True)
    content = text[opening.end() + 1 :]
    return Box(content=content, start=opening.start(), end=len(text), closed=False)


def inner_formula(match: re.Match[str]) -> str:
    """What stands between the dollars, brackets or parentheses of a matched formula."""
    return next(group for group in match.groups() if group is not None).strip()


def normalised(expression: str) -> str:
    """The expression with spacing, sizes, units of degree and percent and long forms made plain."""
    text = _DOLLAR.sub("", expression.strip())
    text = _SIZES.sub("", text)
    text = _FRACTIONS.sub(r"\\frac", text)
    text = _PERCENT.sub("", text)
    if not _ANGLE_FUNCTION.search(text):
        text = _DEGREES.sub("", text)
    text = _THOUSANDS.sub("", text)
    text = _SHORT_FRACTION.sub(_long_fraction, text)
    return _SPACES.sub(" ", text).strip().rstrip(".").strip()


def in_percent(expression: str) -> bool:
    """Whether an expression is given in percent."""
    return _PERCENT.search(expression) is not None


def plain_text(expression: str) -> str:
    r"""A word answer without its LaTeX: Evelyn for \text{Evelyn}."""
    return " ".join(_TEXT.sub(r"\1", expression).split()).lower()


def without_name(expression: str) -> str:
    r"""The right side of "x = 7" or "x \in [1, 2]"; anything else unchanged."""
    named = _ASSIGNED.match(expression)
    rest = expression[named.end() :] if named else expression
    return expression if "=" in rest else rest


def digits_and_base(expression: str) -> tuple[str, str] | None:
    """The digits and the base of a number such as 11010_2."""
    match = _BASE.fullmatch(re.sub(r"\s|\\text|\\mathrm|(?<=_)\{\\(?:text|mathrm)", "", expression))
    return (match[1], match[2]) if match else None


def _long_fraction(match: re.Match[str]) -> str:
    above, below = (group for group in match.groups() if group is not None)
    return f"\\frac{{{above}}}{{{below}}}"
