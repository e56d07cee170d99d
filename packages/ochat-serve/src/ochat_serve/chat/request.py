"""What a caller asks for, and how its messages become a Conversation.

Field names are OpenAI's where OpenAI has the field; parsing JSON belongs to `ochat_serve.http`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ochat_serve.engine import SamplingParams
from ochat_serve.errors import RequestError
from ochat_templates import Conversation, ConversationError, Message, RoleError

# OpenAI's newer word for the operator's text; the templates know one such place.
_SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """A message as it was sent: any role, text exactly as written."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One chat request.

    Attributes:
        model: A name of the served model.
        messages: The conversation so far, a system message only first; a trailing assistant
            message is continued.
        condition: The condition to answer under; "" means the template's default.
        n: Answers wanted.
        max_tokens: Most tokens of one answer; None means what fits.
        stop: Texts that end an answer; they are not part of it.
        stop_token_ids: Ids that end an answer beside the template's.
        ignore_eos: Do not stop at the template's end of turn.
        skip_special_tokens: Whether control tokens are left out of the text.
        sampling: The other sampling parameters; its `max_tokens` and `stop_ids` are not read.
        schema_field: What the caller's field of the JSON schema is called.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    condition: str = ""
    n: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    sampling: SamplingParams = field(default_factory=SamplingParams)
    schema_field: str = "response_format"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """Plain texts to continue, without a template.

    Attributes:
        model: A name of the served model.
        prompts: Texts, or ids as they are; at least one.
        add_special_tokens: Whether the beginning-of-text id is put before a text.
        echo: Whether an answer begins with its prompt.
        n: Answers wanted for each prompt.
        max_tokens: Most tokens of one answer; 0 only with `echo`.
        condition: Always "": there is no template here that could have one.

    The others are those of `ChatRequest`.
    """

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    add_special_tokens: bool = True
    echo: bool = False
    n: int = 1
    max_tokens: int | None = 16
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    condition: str = ""
    sampling: SamplingParams = field(default_factory=SamplingParams)


def to_conversation(request: ChatRequest) -> Conversation:
    """Check the messages and put the system text where the template expects it.

    Raises:
        RequestError: No message, an unknown role, a system message that is not first, or text
            that no tokenizer can encode; `param` names the message.
    """
    if not request.messages:
        raise RequestError(
            "Expected at least one message in 'messages', got none.",
            param="messages",
            code="invalid_value",
        )
    leading, rest = request.messages[0], request.messages[1:]
    has_system = leading.role in _SYSTEM_ROLES
    turns = rest if has_system else request.messages
    if not turns:
        raise RequestError(
            "Expected a user message after the system message, got none.",
            param="messages",
            code="invalid_value",
        )
    first = 1 if has_system else 0
    try:
        return Conversation(
            messages=tuple(_turn(turn, first + i) for i, turn in enumerate(turns)),
            system=leading.content if has_system else "",
            condition=request.condition,
        )
    except ConversationError as error:
        raise RequestError(_sentence(error), param="messages", code="invalid_value") from error


def _turn(message: ChatMessage, index: int) -> Message:
    """One user or assistant turn."""
    if message.role in _SYSTEM_ROLES:
        raise RequestError(
            f"A {message.role} message may stand only first; messages[{index}] is one.",
            param=f"messages.{index}.role",
            code="invalid_value",
        )
    try:
        return Message(role=message.role, content=message.content)
    except RoleError as error:
        raise RequestError(
            _sentence(error), param=f"messages.{index}.role", code="invalid_value"
        ) from error
    except ConversationError as error:
        raise RequestError(
            _sentence(error), param=f"messages.{index}.content", code="invalid_value"
        ) from error


def _sentence(error: Exception) -> str:
    """An error of the templates package as a full sentence."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
