"""Finds the conversation that a saved ShareGPT page carries in its `__NEXT_DATA__` script.

The page is a Next.js one: what it shows lies as JSON under `props.pageProps.content`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import orjson

from .errors import InputError, RecordError
from .record import as_object

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

_PATH = ("props", "pageProps", "content")


def page_content(page: str) -> Mapping[str, object]:
    """The conversation object of a page, its texts still as HTML.

    Raises:
        RecordError: The page is no ShareGPT page, or what it carries is broken.
        InputError: The package selectolax is missing.
    """
    script = _parser()(page).css_first("script#__NEXT_DATA__")
    if script is None:
        raise RecordError(
            "the page has no script '__NEXT_DATA__'; save the page of a shared chat itself"
        )
    try:
        value: object = orjson.loads(script.text(strip=False))
    except orjson.JSONDecodeError as error:
        raise RecordError(f"the page's '__NEXT_DATA__' is not JSON: {error}") from error
    where = "'__NEXT_DATA__'"
    for key in _PATH:
        fields = as_object(value, where)
        if key not in fields:
            raise RecordError(
                f"{where} has no {key!r}: the chat was deleted, or is of another site"
            )
        value, where = fields[key], f"{where}.{key}"
    return as_object(value, where)


@cache
def _parser() -> type[LexborHTMLParser]:
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise InputError("reading web pages needs: pip install 'ochat-data[html]'") from error
    return LexborHTMLParser
