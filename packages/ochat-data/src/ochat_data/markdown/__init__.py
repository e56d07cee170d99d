"""HTML of a chat page to the Markdown that it was shown from, with nothing of the text lost."""

from .detection import HTML_MODES, is_chat_html
from .page_walker import html_to_markdown

__all__ = ["HTML_MODES", "html_to_markdown", "is_chat_html"]
