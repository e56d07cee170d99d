"""Tells a message that was saved as a page's HTML from one that speaks of HTML.

A question about `<div>` must reach the model as it was asked, so that text counts as HTML only if
it looks like what a chat page makes of Markdown: it begins and ends with an element that Markdown
has a notation for, without attributes of an author's own, or with the page's own wrapper.
"""

from __future__ import annotations

import re

HTML_MODES = ("auto", "answers", "all", "never")

_MADE_OF_MARKDOWN = re.compile(
    r"\s*<(?:p|pre|ol(?: start=\"\d+\")?|ul|h[1-6]|blockquote|table|hr ?/?)>", re.IGNORECASE
)
_WRAPPER = re.compile(
    r"\s*<div[^>]*\bclass=\"[^\"]*(?:\bmarkdown\b|\bprose\b|\bwhitespace-pre-wrap\b)[^\"]*\"[^>]*>",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    r"(?:</(?:p|pre|ol|ul|h[1-6]|blockquote|table|div)>|<hr ?/?>)\s*\Z", re.IGNORECASE
)
_LONGEST_END = 64


def is_chat_html(text: str, role: str, mode: str = "auto") -> bool:
    """Whether a message is HTML of a page that showed it.

    Args:
        text: The message.
        role: Who wrote it; a user's text is only ever wrapped by the page, never made by it.
        mode: `auto` tells by the text; `answers` and `all` mean every message with a tag in it;
            `never` takes all for what it is.
    """
    if mode == "never" or "<" not in text:
        return False
    if mode == "all" or (mode == "answers" and role == "assistant"):
        return True
    if not _CLOSED.search(text, max(0, len(text.rstrip()) - _LONGEST_END)):
        return False
    made = role == "assistant" and _MADE_OF_MARKDOWN.match(text)
    return bool(made or _WRAPPER.match(text))
