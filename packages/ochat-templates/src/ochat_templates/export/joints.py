"""Contents made to merge with the role prefix before them, out of the vocabulary's own pieces.

Random contents hardly ever meet such a piece; the people who talk to the model do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ochat_templates.codec import Codec
from ochat_templates.conversation import Conversation, Message

_MOST_PIECES = 40
_LONGEST_OVERLAP = 8


def crossing_conversations(codec: Codec, joint: str) -> Iterator[Conversation]:
    """Conversations whose contents begin with the rest of a piece that the prefix begins.

    Args:
        codec: Its vocabulary is searched.
        joint: What stands between prefix and content in the string.
    """
    default = codec.template.condition.default
    for role in ("user", "assistant"):
        *_, last = codec.template.role_prefix(role, default)
        if last.is_control:
            continue
        for content in islice(_contents(codec, last.text, joint), _MOST_PIECES):
            turns = [Message(role="user", content="Hi"), Message(role="assistant", content="Yes")]
            index = int(role == "assistant")
            for text in (content, f"{content}x"):
                turns[index] = replace(turns[index], content=text)
                yield Conversation(messages=tuple(turns), condition=default)


def _contents(codec: Codec, prefix: str, joint: str) -> Iterator[str]:
    """The shortest contents first."""
    found: set[str] = set()
    tails = [prefix[-size:].encode() for size in range(1, min(len(prefix), _LONGEST_OVERLAP) + 1)]
    for piece in codec.token_bytes:
        for tail in tails:
            if piece and len(piece) > len(tail) and piece.startswith(tail):
                rest = piece[len(tail) :].decode(errors="ignore")
                if rest.startswith(joint) and rest.removeprefix(joint):
                    found.add(rest.removeprefix(joint))
    yield from sorted(found, key=lambda content: (len(content), content))
