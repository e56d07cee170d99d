r"""LaTeX of short answers as plain text: \frac{a}{b} as a/b, \sqrt{x} as sqrt(x), \pi as pi.

Covers what answers of the MATH benchmark contain, and spells it as the grader of `prm800k` read it.
"""

from __future__ import annotations

import re

_GREEK = {
    "alpha": "\u03b1",
    "beta": "\u03b2",
    "gamma": "\u03b3",
    "theta": "\u03b8",
    "lambda": "\u03bb",
    "mu": "\u03bc",
    "phi": "\u03d5",
    "omega": "\u03c9",
}
_SYMBOLS = _GREEK | {
    "pi": "pi",
    "infty": "inf",
    "cup": "U",
    "cap": "\u2229",
    "cdot": "*",
    "times": "*",
    "div": "\u00f7",
    "pm": "\u00b1",
    "circ": "\u2218",
    "le": "\u2264",
    "leq": "\u2264",
    "ge": "\u2265",
    "geq": "\u2265",
    "ne": "\u2260",
    "in": "\u2208",
    "{": "{",
    "}": "}",
    "%": "%",
    "$": "$",
    ",": " ",
    ";": " ",
    " ": " ",
    "!": "",
    "\\": "\n",
    "quad": "  ",
    "ldots": "\u2026",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "log": "log",
    "ln": "ln",
}
_PIECE = re.compile(r"\\(?:[A-Za-z]+\s*|.)|[{}]|[^\\{}]", re.DOTALL)


def latex_to_text(latex: str) -> str:
    """The text of a formula; unknown commands vanish, groups lose their braces."""
    text = latex.replace(r"\tfrac", r"\frac").replace(r"\dfrac", r"\frac")
    pieces = _PIECE.findall(text.replace(r"\frac", r" \frac"))
    return _Converter(pieces).sequence().strip()


class _Converter:
    """Reads pieces from left to right."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces, self._position = pieces, 0

    def sequence(self) -> str:
        """Everything up to the closing brace or the end."""
        parts: list[str] = []
        while self._position < len(self._pieces) and self._pieces[self._position] != "}":
            parts.append(self._one())
        return "".join(parts)

    def _one(self) -> str:
        piece = self._pieces[self._position]
        self._position += 1
        if piece == "{":
            inner = self.sequence()
            self._position += 1  # the closing brace
            return inner
        return self._command(piece) if piece.startswith("\\") and len(piece) > 1 else piece

    def _command(self, piece: str) -> str:
        name = piece[1:].strip() or piece[1:]
        if name == "frac":
            return f"{self._argument()}/{self._argument()}"
        if name == "sqrt":
            return f"sqrt({self._argument()})"
        # A command's name takes the space that ends it with it.
        return _SYMBOLS.get(name, "")

    def _argument(self) -> str:
        while self._position < len(self._pieces) and self._pieces[self._position].isspace():
            self._position += 1
        if self._position >= len(self._pieces) or self._pieces[self._position] == "}":
            return ""
        return self._one()
