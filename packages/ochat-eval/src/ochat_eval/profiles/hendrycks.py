r"""The string form in which the MATH benchmark's first grader compared answers, written anew.

Two answers were equal when these forms were the same text; \frac{1}{2} and 1/2 become one, 2/4 and
1/2 do not.
"""

from __future__ import annotations

import re

_SIMPLE = (
    ("\n", ""),
    (r"\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    (r"\left", ""),
    (r"\right", ""),
    (r"^{\circ}", ""),
    (r"^\circ", ""),
    (r"\$", ""),
)
_LATER = ((r"\%", ""), (" .", " 0."), ("{.", "{0."))
_UNIT = r"\text{ "


def unboxed_text(answer: str) -> str:
    r"""The answer without a \text{} around the whole of it."""
    stripped = answer.strip()
    match = re.match(r"\\text\{(.+?)\}$", stripped)
    return match[1].strip() if match else stripped


def string_form(answer: str) -> str:
    """The compared form; where a step cannot be done, the answer as it is."""
    try:
        return _form(answer)
    except (IndexError, ValueError):
        return answer


def _form(answer: str) -> str:
    text = answer
    for old, new in _SIMPLE:
        text = text.replace(old, new)
    if _UNIT in text:
        text, _ = text.split(_UNIT)  # more than one unit is an error, and ends here
    for old, new in _LATER:
        text = text.replace(old, new)
    if not text:
        return text
    if text[0] == ".":
        text = "0" + text
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = _braced_roots(text).replace(" ", "")
    text = _braced_fractions(text)
    return _slash("\\frac{1}{2}" if text == "0.5" else text)


def _braced_roots(text: str) -> str:
    before, *after = text.split(r"\sqrt")
    return before + "".join(
        r"\sqrt" + (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}") for part in after
    )


def _braced_fractions(text: str) -> str:
    before, *after = text.split(r"\frac")
    parts = [before]
    for part in after:
        if part[0] == "{":
            parts.append(part)
        elif len(part) < 2:
            return text
        elif part[1] == "{":
            parts.append(f"{{{part[0]}}}{part[1:]}")
        else:
            parts.append(f"{{{part[0]}}}{{{part[1]}}}{part[2:]}")
    return r"\frac".join(parts)


def _slash(text: str) -> str:
    above, slash, below = text.partition("/")
    if not slash or "/" in below:
        return text
    try:
        numbers = int(above), int(below)
    except ValueError:
        return text
    plain = f"{numbers[0]}/{numbers[1]}"
    return f"\\frac{{{numbers[0]}}}{{{numbers[1]}}}" if text == plain else text
