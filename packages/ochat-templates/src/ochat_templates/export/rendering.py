"""Renders an exported template as Transformers does, and tokenizes the string as servers do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ochat_templates.conversation import Conversation
from ochat_templates.errors import ExportError

if TYPE_CHECKING:
    from jinja2 import Template as JinjaTemplate
    from tokenizers import Tokenizer


class RenderingRefusedError(Exception):
    """The Jinja called `raise_exception`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendered conversation.

    Attributes:
        text: The string.
        generated: The character ranges `[start, end)` of the generation marks.
    """

    text: str
    generated: tuple[tuple[int, int], ...]


def compile_jinja(text: str) -> JinjaTemplate:
    """Compiles Jinja with the settings of Transformers' chat templates.

    Raises:
        ExportError: The package jinja2 is missing.
    """
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        from .generation_mark import GenerationMark
    except ImportError as error:
        raise ExportError(
            "an export is rendered back, which needs: pip install 'ochat-templates[jinja]'"
        ) from error

    def refuse(message: str) -> NoReturn:
        raise RenderingRefusedError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationMark]
    )
    return environment.from_string(text, globals={"raise_exception": refuse})


def render(compiled: JinjaTemplate, conversation: Conversation, *, prompt: bool) -> Rendered:
    """Renders a conversation.

    Raises:
        RenderingRefusedError: The template refuses it.
    """
    rows = messages_of(conversation)
    variables: dict[str, Any] = {"messages": rows, "add_generation_prompt": prompt}
    if conversation.condition:
        variables["condition"] = conversation.condition
    from .generation_mark import END, START

    marked = compiled.render(variables)
    text, ranges = "", list[tuple[int, int]]()
    for index, part in enumerate(marked.split(START)):
        generated, _, rest = part.rpartition(END)
        if index:
            ranges.append((len(text), len(text) + len(generated)))
        text += generated + rest
    return Rendered(text=text, generated=tuple(ranges))


def messages_of(conversation: Conversation) -> list[dict[str, str]]:
    """The conversation as the rows that chat templates take."""
    rows = [{"role": m.role, "content": m.content} for m in conversation.messages]
    if conversation.system:
        rows.insert(0, {"role": "system", "content": conversation.system})
    return rows


def tokenized(tokenizer: Tokenizer, rendered: Rendered) -> tuple[list[int], list[bool]]:
    """The ids of the string, and which of them the generation marks cover.

    The mask is Transformers': from the token of a range's first character to that of its last.
    """
    encoding = tokenizer.encode(rendered.text, add_special_tokens=False)
    mask = [False] * len(encoding.ids)
    for first, last in _token_ranges(encoding, rendered):
        mask[first : last + 1] = [True] * (last + 1 - first)
    return encoding.ids, mask


def _token_ranges(encoding: Any, rendered: Rendered) -> Iterator[tuple[int, int]]:  # noqa: ANN401
    for start, end in rendered.generated:
        first, last = encoding.char_to_token(start), encoding.char_to_token(end - 1)
        if first is not None and last is not None:
            yield first, last
