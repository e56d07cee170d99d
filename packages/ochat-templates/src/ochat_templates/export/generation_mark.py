"""The Jinja tag `generation`, which Transformers adds: what the assistant is to generate."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jinja2 import nodes
from jinja2.ext import Extension

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.parser import Parser

# Characters for private use, which stand in the string only until it is cut there.
START, END = "\ue0f0", "\ue0f1"


class GenerationMark(Extension):
    """Puts `START` and `END` around what the tag encloses."""

    # pyrefly: ignore[bad-override] - jinja2 annotates a class attribute as an instance's
    tags: ClassVar[set[str]] = {"generation"}

    # pyrefly: ignore[missing-override-decorator] - typing.override needs Python 3.12
    def parse(self, parser: Parser) -> nodes.Node:
        """Reads up to `endgeneration`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        return f"{START}{caller()}{END}"
