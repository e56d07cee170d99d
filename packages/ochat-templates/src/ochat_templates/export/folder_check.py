"""An exported folder as Transformers reads it, for the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from ochat_templates.conversation import Conversation

from .rendering import RenderingRefusedError, messages_of
from .verdict import Encode


def encode_by_transformers(folder: Path) -> Encode | None:
    """Renders and tokenizes by Transformers; None where it is not installed."""
    try:
        from jinja2 import TemplateError
        from transformers import AutoTokenizer
    except ImportError:
        return None
    tokenizer = cast(Any, AutoTokenizer.from_pretrained(folder, local_files_only=True))

    def encode(conversation: Conversation, prompt: bool) -> tuple[list[int], None]:
        variables = {"condition": conversation.condition} if conversation.condition else {}
        try:
            ids = tokenizer.apply_chat_template(
                messages_of(conversation),
                tokenize=True,
                add_generation_prompt=prompt,
                return_dict=False,
                **variables,
            )
        except TemplateError as error:
            raise RenderingRefusedError(str(error)) from error
        return list(ids), None

    return encode
