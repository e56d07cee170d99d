"""Splits conversations that are too long into conversations, between exchanges.

The same rule as the truncation `split`, on records instead of tokens, so that parts can be looked
at, filtered and labelled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .mixing import copy_id
from .truncation import message_starts

if TYPE_CHECKING:
    from ochat_templates import Codec

    from .record import Record


def split_record(record: Record, codec: Codec, length: int) -> list[Record]:
    """The parts of a record, none longer than `length` tokens unless one exchange alone is.

    Raises:
        ConversationError: The template does not take its roles, condition or system text.
    """
    messages = record.conversation.messages
    if record.is_document:
        return [record]
    encoded = codec.encode(record.conversation)
    if len(encoded.ids) <= length:
        return [record]
    starts = message_starts(encoded)
    header = starts[0]
    borders = [*starts, len(encoded.ids)]
    questions = [
        index
        for index in range(1, len(messages))
        if messages[index].role == "user" and messages[index - 1].role != "user"
    ]
    cuts = [0]
    for index, question in enumerate(questions):
        after = questions[index + 1] if index + 1 < len(questions) else len(messages)
        if header + borders[after] - borders[cuts[-1]] > length:
            cuts.append(question)
    parts = zip(cuts, [*cuts[1:], len(messages)], strict=True)
    return [
        replace(
            record,
            id=copy_id(record.id, number),
            conversation=replace(record.conversation, messages=messages[begin:end]),
        )
        for number, (begin, end) in enumerate(parts)
    ]
