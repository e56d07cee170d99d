"""Conversations to token ids and loss weights, exactly, for every OpenChat model.

    from ochat_templates import Conversation, Message, load_codec

    codec = load_codec("tokenizer.model", "openchat_v3.2")
    ids = codec.prompt(Conversation(messages=(Message(role="user", content="Hello"),)))

Importing this package loads nothing outside the standard library; a tokenizer library is loaded
when a tokenizer file is opened.
"""

from __future__ import annotations

from .codec import Codec, Encoded, Span, load_codec
from .conversation import Conversation, Message
from .conversion import convert_sentencepiece
from .errors import (
    ConditionError,
    ConversationError,
    FingerprintMismatchError,
    MissingControlTokenError,
    ModelCardError,
    RoleError,
    TemplateFileError,
    TemplatesError,
    TokenizerError,
    UnknownTemplateError,
)
from .fingerprint import Fingerprint
from .model_card import ModelCard
from .registry import get_template, template_names
from .streaming import StreamDecoder
from .template import ConditionRule, Template

__all__ = [
    "Codec",
    "ConditionError",
    "ConditionRule",
    "Conversation",
    "ConversationError",
    "Encoded",
    "Fingerprint",
    "FingerprintMismatchError",
    "Message",
    "MissingControlTokenError",
    "ModelCard",
    "ModelCardError",
    "RoleError",
    "Span",
    "StreamDecoder",
    "Template",
    "TemplateFileError",
    "TemplatesError",
    "TokenizerError",
    "UnknownTemplateError",
    "convert_sentencepiece",
    "get_template",
    "load_codec",
    "template_names",
]
