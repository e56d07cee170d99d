"""Conversations to token ids and loss weights, exactly, for every OpenChat model.

    from ochat_templates import Conversation, Message, load_codec

    codec = load_codec("tokenizer.model", "openchat_v3.2")
    ids = codec.prompt(Conversation(messages=(Message(role="user", content="Hello"),)))

Importing this package loads nothing at all; a name is loaded when it is first asked for, and a
tokenizer library when a tokenizer file is opened.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself would be a quarter of the import time
if TYPE_CHECKING:
    from .codec import Codec, load_codec
    from .conversation import Conversation, Message
    from .conversion import convert_sentencepiece
    from .encoding import Encoded, Segment, Shifted, Span
    from .errors import (
        ConditionError,
        ConversationError,
        ExportError,
        FingerprintMismatchError,
        MissingControlTokenError,
        ModelCardError,
        RoleError,
        SpecialStringError,
        SpecialStringWarning,
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

_MODULES = {
    "Codec": "codec",
    "ConditionError": "errors",
    "ConditionRule": "template",
    "Conversation": "conversation",
    "ConversationError": "errors",
    "Encoded": "encoding",
    "ExportError": "errors",
    "Fingerprint": "fingerprint",
    "FingerprintMismatchError": "errors",
    "Message": "conversation",
    "MissingControlTokenError": "errors",
    "ModelCard": "model_card",
    "ModelCardError": "errors",
    "RoleError": "errors",
    "Segment": "encoding",
    "Shifted": "encoding",
    "Span": "encoding",
    "SpecialStringError": "errors",
    "SpecialStringWarning": "errors",
    "StreamDecoder": "streaming",
    "Template": "template",
    "TemplateFileError": "errors",
    "TemplatesError": "errors",
    "TokenizerError": "errors",
    "UnknownTemplateError": "errors",
    "convert_sentencepiece": "conversion",
    "get_template": "registry",
    "load_codec": "codec",
    "template_names": "registry",
}

__all__ = [
    "Codec",
    "ConditionError",
    "ConditionRule",
    "Conversation",
    "ConversationError",
    "Encoded",
    "ExportError",
    "Fingerprint",
    "FingerprintMismatchError",
    "Message",
    "MissingControlTokenError",
    "ModelCard",
    "ModelCardError",
    "RoleError",
    "Segment",
    "Shifted",
    "Span",
    "SpecialStringError",
    "SpecialStringWarning",
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


def __getattr__(name: str) -> object:
    """Loads a public name, once."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
