"""What one run is: the server, the model, the suite and how to ask.

Holds and checks values only; the command line is in `commands.run`, the asking in `runner`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ochat_eval.errors import ServerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to ask again after a failure that may pass.

    Attributes:
        attempts: How often a question is sent at most.
        first_wait_seconds: The wait before the second attempt; it doubles each time.
        longest_wait_seconds: The doubling stops here. A server's Retry-After may be longer.
    """

    attempts: int = 6
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides a run.

    Attributes:
        base_url: Of an OpenAI-compatible server, with or without `/v1`.
        model: The name under which the server serves the model.
        suite: `sample`, a JSONL file, or a folder of JSONL files.
        output: The run folder, made or resumed.
        condition: Sent as the field `condition`; empty sends none (the server's default).
        max_tokens: Of one answer; None leaves it to the server (what fits the context).
        temperature: 0 is greedy.
        concurrency: Requests in flight at most.
        limit: Only the first so many questions of each file; None asks all.
        family: The family of rows that name none.
        api_key: Sent as a bearer token, never stored.
        timeout_seconds: Of one request, from connecting to the last byte.
        retry: When to ask again.
    """

    base_url: str
    model: str
    suite: str
    output: Path
    condition: str = ""
    max_tokens: int | None = None
    temperature: float = 0.0
    concurrency: int = 64
    limit: int | None = None
    family: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 600.0
    retry: Retry = field(default_factory=Retry)

    def identity(self) -> dict[str, object]:
        """The values that change answers: a run folder may only be resumed with the same ones."""
        return {
            "model": self.model,
            "condition": self.condition,
            "base_url": api_root(self.base_url),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }


def api_root(base_url: str) -> str:
    """The URL under which `/models` and `/chat/completions` are; `/v1` is added to a bare host.

    Raises:
        ServerError: Not an http or https URL.
    """
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # an open bracket, or a port that is no port
        raise _no_base_url(base_url) from error
    if not usable:
        raise _no_base_url(base_url)
    root = base_url.rstrip("/")
    return root if parts.path.strip("/") else f"{root}/v1"


def _no_base_url(base_url: str) -> ServerError:
    return ServerError(f"{base_url!r} is no base URL: give one like http://localhost:18888/v1")
