"""What to do about content that spells a control token: nothing, refuse it, or warn.

It is encoded as ordinary text in any case; this is for those who want to know of it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from .conversation import Conversation
from .errors import SpecialStringError, SpecialStringWarning

SpecialStrings = Literal["text", "error", "warn"]


def special_string_check(
    policy: SpecialStrings, control_tokens: Iterable[str]
) -> Callable[[Conversation], None] | None:
    """A check of conversations by a policy; None where nothing is to be checked.

    Raises:
        ValueError: The policy is none of the three.
    """
    if policy == "text":
        return None
    if policy not in ("error", "warn"):
        raise ValueError(f"special_strings must be text, error or warn, not {policy!r}")
    longest_first = sorted(control_tokens, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in longest_first))

    def check(conversation: Conversation) -> None:
        for where, text in _texts(conversation):
            found = pattern.search(text)
            if not found:
                continue
            told = f"{where} spells the control token {found[0]!r} at character {found.start()}"
            if policy == "error":
                raise SpecialStringError(f"{told}; take it out, or encode it as text")
            warnings.warn(f"{told}; it is encoded as text", SpecialStringWarning, stacklevel=4)

    return check


def _texts(conversation: Conversation) -> Iterator[tuple[str, str]]:
    yield "the system text", conversation.system
    for index, message in enumerate(conversation.messages):
        yield f"message {index} ({message.role})", message.content
