"""A conversation as the one string that a serving stack tokenizes, where there is such a string.

A tokenizer that puts a space in front of every text between two control tokens gives the ids of
the rule if prefix and content are joined by one space; a byte-level one if they are joined by
nothing. Whether that holds for a conversation is measured on the codec itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ochat_templates.codec import Codec
from ochat_templates.conversation import Conversation
from ochat_templates.template import Piece


def render_prompt(codec: Codec, conversation: Conversation) -> str | None:
    """The inference form of a conversation that ends in a question, as one string.

    None where no string gives its ids: a content spells a control token, or a prefix and its
    content would merge.
    """
    parts: list[str] = []
    between = joint(codec)
    for is_control, run in groupby(_prompt_pieces(codec, conversation), lambda p: p.is_control):
        texts = [piece.text for piece in run if piece.text]
        if is_control:
            parts += texts
            continue
        if any(token in text for token in codec.control_ids for text in texts):
            return None
        whole = between.join(texts)
        apart = [token_id for text in texts for token_id in codec.encode_text(text)]
        if codec.encode_text(whole) != apart:
            return None
        parts.append(whole)
    return "".join(parts)


def render_unspaced(codec: Codec, conversation: Conversation) -> str:
    """The string in which prefix and content are joined by nothing, whatever its ids."""
    return "".join(piece.text for piece in _prompt_pieces(codec, conversation))


def joint(codec: Codec) -> str:
    """What stands between two texts in the string: the tokenizer's own dummy prefix, if any."""
    return text_of(codec, codec.encode_text("a")).removesuffix("a")


def text_of(codec: Codec, ids: Sequence[int]) -> str:
    """The text of ids with the dummy prefix, if any, and without control tokens."""
    table, size = codec.token_bytes, len(codec.token_bytes)
    return b"".join(table[i] or b"" for i in ids if 0 <= i < size).decode(errors="replace")


def _prompt_pieces(codec: Codec, conversation: Conversation) -> Iterator[Piece]:
    template = codec.template
    end = (Piece(template.eot, is_control=True), Piece(template.turn_suffix, is_control=False))
    condition = template.resolve_condition(conversation.condition, training=False)
    if template.bos:
        yield Piece(template.bos, is_control=True)
    for turn in template.opening_turns(conversation.system, condition):
        yield from (*turn.prefix, Piece(turn.text, is_control=False), *end)
    for message in conversation.messages:
        yield from template.role_prefix(message.role, condition)
        yield from (Piece(message.content, is_control=False), *end)
    yield from template.role_prefix("assistant", condition)
