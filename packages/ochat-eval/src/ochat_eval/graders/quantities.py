r"""Numbers as people and models write them: 1,234.50, -$5, 3/4, 2 1/2, \frac{3}{4}, 1.5e3, twelve.

Reads exact values (`Fraction`); which number of a response is its answer is decided in `number`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_WHOLE = r"(?>\d{1,3}(?:(?:,|\{,\}|\\,|\\!|_|')\d{3})+(?!\d)|\d+)"
_POWER = (
    r"(?:[eE](?P<e>[+-]?\d{1,3})"
    r"|\s*(?:\u00d7|\\times|\\cdot|\*)\s*10\s*\^\s*\{?(?P<ten>[+-]?\d{1,3})\}?)"
)
_FRACTION = r"\\[dt]?frac\s*(?:\{\s*-?\d+\s*\}\s*\{\s*\d+\s*\}|\d\s*\d)"
_PARTS = re.compile(r"\\[dt]?frac\s*\{?\s*(-?\d+?)\s*\}?\s*\{?\s*(\d+)\s*\}?")
_VULGAR = "[\u00bc-\u00be\u2150-\u215e]"
_QUANTITY = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]}}%])[+-]\s?)?
    (?:\\?[$€£¥₹]\s?(?P<inner>-)?)?
    (?:
      (?<![A-Za-z0-9_.])(?<!\d[,:/])(?P<whole>{_WHOLE})(?P<decimal>\.\d+)?{_POWER}?
      (?!\d|[,:]\d|\.\d|(?:st|nd|rd|th)\b)
      (?:\s?/\s?(?P<below>\d+)(?![\d/.])
        |\s+(?P<over>\d+)/(?P<under>\d+)(?![\d/])
        |\s?(?P<rest>{_VULGAR})
        |\s?(?P<mixed>{_FRACTION})
        |(?:\s?dollars?)?\s+and\s+(?P<cents>\d{{1,2}})\s+cents?\b)?
     |(?<![\w.])(?P<point>\.\d+)
     |(?P<fraction>{_FRACTION})
     |(?<!\w)(?P<vulgar>{_VULGAR})
    )
    (?:\s?(?P<scale>thousand|million|billion|trillion)\b)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
# Longer runs of digits are no answer to any question, and Python refuses to convert 4,300 of them.
_MAX_DIGITS = 300

# fmt: off
_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
# fmt: on
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_WORD = re.compile(
    rf"(minus\s+|negative\s+)?\b(?:({'|'.join(_TENS)})(?:[\s-]({'|'.join(_UNITS[1:10])}))?"
    rf"|({'|'.join(sorted(_UNITS, key=len, reverse=True))}))\b(?!\s*(?:hundred|thousand|million))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """An exact value and where in the text it stands."""

    value: Fraction
    start: int
    end: int


def quantities(text: str, begin: int = 0, end: int | None = None) -> Iterator[Quantity]:
    """Every number written in digits between two positions, from left to right."""
    for match in _QUANTITY.finditer(text, begin, len(text) if end is None else end):
        if (value := _value(match)) is not None:
            yield Quantity(value=value, start=match.start(), end=match.end())


def spelled_out(text: str, begin: int, end: int) -> Quantity | None:
    """The number below one hundred written as a word at `begin` ("twelve", "minus three")."""
    match = _WORD.match(text, begin, end)
    if match is None:
        return None
    minus, tens, units, small = match.groups()
    value = (
        _WORDS[small.lower()] if small else _WORDS[tens.lower()] + _WORDS[(units or "zero").lower()]
    )
    return Quantity(
        value=Fraction(-value if minus else value), start=match.start(), end=match.end()
    )


def shown(value: Fraction) -> str:
    """A value as a decimal where it has a finite one, else as a fraction: 18.5, -3, 1/3."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10**12
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    sign, digits = "-" if value < 0 else "", f"{abs(scaled.numerator):013d}"
    return f"{sign}{digits[:-12]}.{digits[-12:].rstrip('0')}"


def _value(match: re.Match[str]) -> Fraction | None:
    if match.end() - match.start() > _MAX_DIGITS:
        return None
    magnitude = _magnitude(match)
    if magnitude is None:
        return None
    negative = (match["sign"] or "").startswith("-") != bool(match["inner"])
    scale = _SCALES[match["scale"].lower()] if match["scale"] else 1
    return (-magnitude if negative else magnitude) * scale


def _magnitude(match: re.Match[str]) -> Fraction | None:
    if match["point"]:
        return Fraction("0" + match["point"])
    if match["fraction"]:
        return _latex_fraction(match["fraction"])
    if match["vulgar"]:
        return _vulgar(match["vulgar"])
    value = Fraction(re.sub(r"\D", "", match["whole"]) + (match["decimal"] or ""))
    if power := match["e"] or match["ten"]:
        value *= Fraction(10) ** int(power)
    if match["below"]:
        return _ratio(value, match["below"])
    if match["over"]:
        added = _ratio(Fraction(match["over"]), match["under"])
    elif match["rest"]:
        added = _vulgar(match["rest"])
    elif match["mixed"]:
        added = _latex_fraction(match["mixed"])
    else:
        added = Fraction(int(match["cents"] or 0), 100)
    return None if added is None else value + added


def _ratio(above: Fraction, below: str) -> Fraction | None:
    return above / int(below) if int(below) else None


def _latex_fraction(text: str) -> Fraction | None:
    parts = _PARTS.fullmatch(text)
    return _ratio(Fraction(parts[1]), parts[2]) if parts else None


def _vulgar(character: str) -> Fraction:
    above, below = unicodedata.normalize("NFKC", character).split("\u2044")
    return Fraction(int(above), int(below))
