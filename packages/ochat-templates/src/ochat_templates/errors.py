"""The errors this package raises; a caller that catches `TemplatesError` has caught them all.

TemplatesError
├── ConversationError          a conversation is not what was expected
│   ├── RoleError              a message's role is unknown to the template
│   ├── ConditionError         a condition is not one the template allows
│   └── SpecialStringError     a content spells a control token, and the codec was told to refuse it
├── TemplateFileError          a template's TOML or plugin is not what the schema asks for
├── UnknownTemplateError       no template has that name
├── TokenizerError             a tokenizer cannot encode by the rule
│   └── MissingControlTokenError   it lacks a control token of the template
├── FingerprintMismatchError   two tokenizations of the same text differ
├── ModelCardError             openchat.json is missing or not readable
└── ExportError                a template cannot be exported for a tokenizer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class TemplatesError(Exception):
    """Base of every error of this package; its text is one sentence meant for a person."""


class ConversationError(TemplatesError):
    """A conversation has a wrong field, an unencodable character or no message."""


class RoleError(ConversationError):
    """A message's role is unknown."""


class ConditionError(ConversationError):
    """A condition is not one the template allows."""


class SpecialStringError(ConversationError):
    """A content spells a control token; raised only by a codec with `special_strings="error"`."""


class SpecialStringWarning(UserWarning):
    """A content spells a control token; told by a codec with `special_strings="warn"`."""


class TemplateFileError(TemplatesError):
    """A template's TOML does not follow the schema."""


class UnknownTemplateError(TemplatesError):
    """No template has that name or alias."""


class TokenizerError(TemplatesError):
    """A tokenizer is missing, unreadable, or cannot encode by the rule."""


class MissingControlTokenError(TokenizerError):
    """A vocabulary lacks a control token of the template; the text gives the command to add it.

    Attributes:
        token: The control token.
        problem: What is wrong.
        remedy: What to do.
    """

    def __init__(self, token: str, where: Path | None) -> None:
        """Takes the token and the tokenizer file or folder, None for a tokenizer in memory."""
        self.token = token
        if where is None:
            self.remedy = "add it with add_special_tokens before the codec is made"
        else:
            folder = where if where.is_dir() else where.parent
            self.remedy = (
                "add it to the model with: ochat-train add-tokens "
                f"--model {folder} --tokens '{token}' --output NEW_FOLDER"
            )
        origin = "" if where is None else f" in {where}"
        self.problem = f"the tokenizer{origin} has no control token {token!r}"
        super().__init__(f"{self.problem}; {self.remedy}")


class FingerprintMismatchError(TemplatesError):
    """Two fingerprints differ: the same text would not give the same tokens."""


class ModelCardError(TemplatesError):
    """`openchat.json` is missing, corrupt or incomplete."""


class ExportError(TemplatesError):
    """A template cannot be exported for a tokenizer, or the output is taken."""
