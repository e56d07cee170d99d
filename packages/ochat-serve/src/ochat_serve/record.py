"""What is known of one request while it is answered: the log's line and the metrics' source.

Made by the outermost layer and filled on the way; who reads it is `observe`'s business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from ochat_serve.chat import PreparedChat

_SCOPE_KEY = "ochat_serve.record"


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request.

    Attributes:
        method: HTTP method.
        path: Path of the URL.
        started: When it came, on the monotonic clock.
        time: When it came, in seconds since 1970.
        key: Name of the key that was used; "" without one.
        client: The caller's address.
        request_id: Name of the answer.
        model: The model name that was asked for.
        condition: The condition that was asked for.
        answers: How many answers were wanted.
        prompt_tokens: Tokens of all prompts.
        completion_tokens: Tokens generated so far.
        first_token: When the first token came, on the monotonic clock.
        status: HTTP status of the answer; 0 while none was sent.
        outcome: Finish reasons, or `disconnected`, or `error`; "" where nothing was generated.
        error: Code of the error that was answered.
        prompt: What was asked, where contents are logged.
        texts: What was answered, where contents are logged.
    """

    method: str = ""
    path: str = ""
    started: float = field(default_factory=time.monotonic)
    time: float = field(default_factory=time.time)
    key: str = ""
    client: str = ""
    request_id: str = ""
    model: str = ""
    condition: str = ""
    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token: float | None = None
    status: int = 0
    outcome: str = ""
    error: str | None = None
    prompt: object = None
    texts: list[str] | None = None

    def describe(self, name: str, chats: Sequence[PreparedChat]) -> None:
        """Note what was asked, once it was found to be in order."""
        request = chats[0].request
        self.request_id, self.model, self.condition = name, request.model, request.condition
        self.answers = request.n * len(chats)
        self.prompt_tokens = sum(len(chat.prompt_ids) for chat in chats)


def record_of(scope: Scope) -> RequestRecord:
    """The record of a request; a fresh one where nobody observes."""
    record = scope.get(_SCOPE_KEY)
    if not isinstance(record, RequestRecord):
        record = RequestRecord(method=scope.get("method", ""), path=scope.get("path", ""))
        scope[_SCOPE_KEY] = record
    return record
