"""The errors of this package; which HTTP status each becomes is decided in `ochat_serve.http`.

The tree:

    ServeError
    ├── SetupError                     the server cannot start: one sentence and the remedy
    ├── RequestError                   the caller's fault; carries OpenAI's `param` and `code`
    │   ├── UnsupportedParameterError  known to the API, not to this engine or this server
    │   ├── ContextLengthError         prompt and answer do not fit the context
    │   ├── ModelNotFoundError         the name is not served here
    │   ├── AuthenticationError        no key, or a wrong one
    │   ├── BodyTooLargeError          the request is bigger than the server reads
    │   ├── BodyTimeoutError           the request's body did not come in time
    │   └── TooBusyError               a limit of the key or of the server; says when to come again
    └── EngineError                    the engine failed while answering
        └── EngineDeadError            the engine cannot take requests (not started, stopped, died)
"""

from __future__ import annotations


class ServeError(Exception):
    """Root of everything this package raises on purpose."""


class SetupError(ServeError):
    """The server cannot start; the message is one sentence and says what to do."""


class RequestError(ServeError):
    """A request that cannot be answered as it stands.

    Attributes:
        message: What was expected and what came.
        param: The request field at fault (`messages.0.role`), or None.
        code: A machine-readable word such as `context_length_exceeded`, or None.
    """

    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Keep the three fields that OpenAI's error object shows."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else type(self).code


class UnsupportedParameterError(RequestError):
    """A parameter that the API knows and this server or its engine cannot honour."""

    code = "unsupported_parameter"


class ContextLengthError(RequestError):
    """The prompt, or the prompt and `max_tokens`, are longer than the context."""

    code = "context_length_exceeded"


class ModelNotFoundError(RequestError):
    """No model of that name is served here."""

    code = "model_not_found"


class AuthenticationError(RequestError):
    """The request carries no API key, or one that this server does not know."""

    code = "invalid_api_key"


class BodyTooLargeError(RequestError):
    """The request body is larger than the server is willing to read."""

    code = "request_too_large"


class BodyTimeoutError(RequestError):
    """The request body did not come in time."""

    code = "request_timeout"


class TooBusyError(RequestError):
    """A limit is reached; the same request may succeed later.

    Attributes:
        retry_seconds: After how long it may.
        of_server: Whether the whole server is busy, and not only the caller's key used up.
    """

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        retry_seconds: float,
        of_server: bool = False,
        code: str | None = None,
    ) -> None:
        """Keep when to come again beside the message."""
        super().__init__(message, code=code)
        self.retry_seconds = retry_seconds
        self.of_server = of_server


class EngineError(ServeError):
    """The engine failed while it worked on a request."""


class EngineDeadError(EngineError):
    """The engine takes no requests: it was not started, was stopped, or died."""
