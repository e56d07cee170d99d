"""Walks the elements of a chat page and writes the Markdown for each.

Text is never escaped or matched against patterns: what a page adds of its own, such as the button
that copies a code block, is left out as the element that it is.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ochat_data.errors import InputError

from .blocks import code_block, quoted, rule_of_code, table, with_marker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selectolax.lexbor import LexborHTMLParser, LexborNode

_TEXT = "-text"
# What a page adds to a conversation, and what never shows.
_CHROME = frozenset(
    ("button", "svg", "style", "noscript", "template", "form", "nav", "head", "title", "input")
)
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_CONTAINERS = frozenset(
    (
        *("div", "section", "article", "main", "header", "footer", "body", "html", "figure"),
        *("details", "summary", "figcaption", "dl", "dt", "dd", "center", "address", "aside"),
    )
)
_BLOCKS = frozenset(("p", "pre", "ul", "ol", "blockquote", "table", "hr", "li", *_HEADINGS))
_WRAPS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_SPACES = re.compile(r"[ \t\n\r\f]+")
_LINE_EDGES = re.compile(r" *\n *")
# The counter of a page that offers several answers; only between buttons is it the page's.
_COUNTER = re.compile(r"\s*\d+\s*/\s*\d+\s*")
_COPIED = re.compile(r"\s*(?:Copy)?\s*\d+ chars / \d+ words\s*")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang)-([^\s]+)")
# Deeper elements keep their text and lose their notation; no page nests so far on purpose.
_DEEPEST = 60


class _Place(NamedTuple):
    """Where the walk is."""

    depth: int = 0
    keeps_spaces: bool = False


def html_to_markdown(html: str) -> str:
    """The Markdown of a message's HTML.

    Code keeps its language and every space, tables, nested lists, links and maths (KaTeX and
    MathJax sources) keep their notation, and all other text stays as it was.

    Raises:
        InputError: The package selectolax is missing.
    """
    body = _parser()(html).body
    return "" if body is None else "\n\n".join(_blocks(body, _Place())).strip()


@cache
def _parser() -> type[LexborHTMLParser]:
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise InputError("HTML in messages needs: pip install 'ochat-data[html]'") from error
    return LexborHTMLParser


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.first_child
    while child is not None:
        yield child
        child = child.next


def _blocks(node: LexborNode, place: _Place) -> list[str]:
    """The blocks of an element; text between block elements is a paragraph."""
    blocks: list[str] = []
    inline: list[str] = []

    def end_paragraph() -> None:
        text = _tidy("".join(inline), place)
        if text:
            blocks.append(text)
        inline.clear()

    for child in _children(node):
        tag = child.tag or ""
        if tag == _TEXT:
            inline.append(_text(child, place))
        elif tag in _BLOCKS or tag in _CONTAINERS or _is_display_maths(child, tag):
            if _is_chrome(child, tag):
                continue
            end_paragraph()
            blocks += _block(child, tag, place)
        else:
            inline.append(_inline(child, tag, place))
    end_paragraph()
    return blocks


def _block(node: LexborNode, tag: str, place: _Place) -> list[str]:
    if place.depth > _DEEPEST:
        text = node.text(deep=True).strip()
        return [text] if text else []
    keeps = place.keeps_spaces or "whitespace-pre-wrap" in (node.attributes.get("class") or "")
    inner = _Place(place.depth + 1, keeps)
    if tag == "pre":
        return [_code(node)]
    if tag in ("ul", "ol"):
        return [text] if (text := _list(node, tag, inner)) else []
    if tag == "table":
        return [text] if (text := table(_rows(node, inner))) else []
    if tag == "hr":
        return ["---"]
    if _is_display_maths(node, tag):
        return [f"$$\n{_maths(node)}\n$$"]
    blocks = _blocks(node, inner)
    if tag in _HEADINGS and blocks:
        return [f"{_HEADINGS[tag]} {' '.join(blocks)}"]
    if tag == "blockquote" and blocks:
        return [quoted("\n\n".join(blocks))]
    return blocks


def _inline(node: LexborNode, tag: str, place: _Place) -> str:
    if tag in _CHROME or tag.startswith(("-", "!")):
        return ""
    if tag == "br":
        return "\n"
    if tag == "script":
        return _mathjax(node)
    if place.depth > _DEEPEST:
        return node.text(deep=True)
    if tag == "code":
        return rule_of_code(node.text(deep=True))
    if tag == "img":
        alt, address = node.attributes.get("alt") or "", node.attributes.get("src") or ""
        return f"![{alt}]({address})" if address and not address.startswith("data:") else alt
    if _is_maths(node, tag):
        return f"${_maths(node)}$"
    text = _phrase(node, place)
    if not text.strip():
        return text
    if tag in _WRAPS:
        return _wrapped(text, _WRAPS[tag])
    if tag == "a":
        address = node.attributes.get("href") or ""
        return f"[{text}]({address})" if address and address != text else text
    return text


def _phrase(node: LexborNode, place: _Place) -> str:
    """The text of an element within a line; a block inside it gets lines of its own."""
    inner = _Place(place.depth + 1, place.keeps_spaces)
    parts: list[str] = []
    for child in _children(node):
        tag = child.tag or ""
        if tag == _TEXT:
            parts.append(_text(child, inner))
        elif tag in _BLOCKS or tag in _CONTAINERS:
            if not _is_chrome(child, tag):
                parts += ["\n", "\n\n".join(_block(child, tag, inner)), "\n"]
        else:
            parts.append(_inline(child, tag, inner))
    return "".join(parts)


def _text(node: LexborNode, place: _Place) -> str:
    text = node.text_content or ""
    return text if place.keeps_spaces else _SPACES.sub(" ", text)


def _tidy(text: str, place: _Place) -> str:
    if place.keeps_spaces:
        return text.strip("\n")
    return _LINE_EDGES.sub("\n", text).strip(" \n")


def _wrapped(text: str, mark: str) -> str:
    """Puts marks around a phrase, inside its outer spaces, where Markdown knows them."""
    inner = text.strip()
    start = len(text) - len(text.lstrip())
    return f"{text[:start]}{mark}{inner}{mark}{text[start + len(inner) :]}"


def _code(node: LexborNode) -> str:
    inside = node.css_first("code")
    code = inside or node
    found = _LANGUAGE.search(code.attributes.get("class") or "") or _LANGUAGE.search(
        node.attributes.get("class") or ""
    )
    language = found[1] if found else ""
    if not language and inside is not None:
        language = _header_language(node)
    return code_block(code.text(deep=True), language)


def _header_language(pre: LexborNode) -> str:
    """The name beside the copy button: a single word, where the code itself does not say."""
    button = pre.css_first("button")
    label = button.prev if button is not None else None
    while label is not None and not label.text(deep=True).strip():
        label = label.prev
    word = label.text(deep=True).strip() if label is not None else ""
    return word if word and " " not in word and "\n" not in word else ""


def _list(node: LexborNode, tag: str, place: _Place) -> str:
    start = node.attributes.get("start") or "1"
    number = int(start) if start.isdecimal() and len(start) < 10 else 1
    items: list[str] = []
    loose = False
    for child in _children(node):
        kind = child.tag or ""
        if kind == _TEXT and not (child.text_content or "").strip():
            continue
        if kind in _CHROME:
            continue
        if kind in ("ul", "ol"):  # a list right in a list belongs to the item before it
            nested = _list(child, kind, _Place(place.depth + 1, place.keeps_spaces))
            blocks = [nested] if nested else []
        else:
            inner = _Place(place.depth + 1, place.keeps_spaces)
            blocks = _blocks(child, inner) if kind == "li" else _stray(child, kind, inner)
        if not blocks and kind != "li":
            continue
        plain = [block for block in blocks if not _starts_list(block)]
        loose = loose or len(plain) > 1
        body = blocks[0] if blocks else ""
        for block in blocks[1:]:
            body += ("\n" if _starts_list(block) else "\n\n") + block
        marker = f"{number}. " if tag == "ol" else "- "
        number += 1
        items.append(with_marker(marker, body))
    return ("\n\n" if loose else "\n").join(items)


def _stray(node: LexborNode, tag: str, place: _Place) -> list[str]:
    """What stands in a list without being an item of it."""
    if tag == _TEXT:
        text = _tidy(_text(node, place), place)
        return [text] if text else []
    if tag in _BLOCKS or tag in _CONTAINERS:
        return _block(node, tag, place)
    text = _tidy(_inline(node, tag, place), place)
    return [text] if text else []


def _starts_list(block: str) -> bool:
    return bool(re.match(r"(?:- |\d+\. )", block))


def _rows(node: LexborNode, place: _Place) -> list[list[str]]:
    rows: list[list[str]] = []
    pending = [node]
    while pending:
        current = pending.pop(0)
        for child in _children(current):
            tag = child.tag or ""
            if tag in ("thead", "tbody", "tfoot"):
                pending.append(child)
            elif tag == "tr":
                rows.append(
                    ["\n".join(_blocks(cell, place)) for cell in _children(child) if _is_cell(cell)]
                )
            elif tag == "caption":
                rows.insert(0, [" ".join(_blocks(child, place))])
    return rows


def _is_cell(node: LexborNode) -> bool:
    return node.tag in ("td", "th")


def _is_chrome(node: LexborNode, tag: str) -> bool:
    """A bar of buttons, with at most a counter between them."""
    if tag not in ("div", "section") or node.css_first("button") is None:
        return False
    if node.css_first("pre, p, li, table, code") is not None:
        return False
    text = "".join(child.text(deep=True) for child in _children(node) if child.tag not in _CHROME)
    return not text.strip() or bool(_COUNTER.fullmatch(text) or _COPIED.fullmatch(text))


def _is_maths(node: LexborNode, tag: str) -> bool:
    names = (node.attributes.get("class") or "").split()
    return (tag == "span" and "katex" in names) or tag == "math"


def _is_display_maths(node: LexborNode, tag: str) -> bool:
    if tag == "math":
        return node.attributes.get("display") == "block"
    names = (node.attributes.get("class") or "").split() if tag in ("span", "div") else ()
    return "katex-display" in names or "math-display" in names


def _maths(node: LexborNode) -> str:
    """The TeX that a formula was set from; else its text."""
    source = node.css_first('annotation[encoding="application/x-tex"]')
    return (source or node).text(deep=True).strip()


def _mathjax(node: LexborNode) -> str:
    kind = node.attributes.get("type") or ""
    if not kind.startswith("math/tex"):
        return ""
    source = node.text(deep=True).strip()
    return f"$$\n{source}\n$$" if "display" in kind else f"${source}$"
