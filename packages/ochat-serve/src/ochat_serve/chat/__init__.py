"""Chat without HTTP: a request becomes prompt ids, token events become text.

Knows templates and engines; which bytes travel over the network is `ochat_serve.http`'s business.
"""

from __future__ import annotations

from ochat_serve.chat.answer import Delta, PreparedChat
from ochat_serve.chat.logprobs import ScoredToken
from ochat_serve.chat.request import ChatMessage, ChatRequest, CompletionRequest
from ochat_serve.chat.service import ChatService

__all__ = [
    "ChatMessage",
    "ChatRequest",
    "ChatService",
    "CompletionRequest",
    "Delta",
    "PreparedChat",
    "ScoredToken",
]
