"""What one run is: where answers come from, which suite, and how to ask.

Holds and checks values only; the command line is in `commands.run`, the asking in `runner`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ochat_eval.errors import ServerError

BackendName = Literal["http", "serve", "engine", "replay"]


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
        model: The name under which the server serves the model; a model folder for the backends
            `serve` and `engine`.
        suite: `sample`, a suite or task, a JSONL file, or a folder of JSONL files.
        output: The run folder, made or resumed.
        base_url: Of an OpenAI-compatible server, with or without `/v1`; for the backend `http`.
        backend: `http` asks a server, `serve` starts one, `engine` loads the model here, `replay`
            takes the answers of a stored run.
        engine: Of ochat-serve, for the backends `serve` and `engine`.
        model_type: The template, where the model folder does not name it.
        engine_arguments: Passed through to the engine.
        replay: The run folder whose answers are replayed.
        condition: Sent as the field `condition`; empty sends none (the server's default).
        system: The system text; empty sends none.
        max_tokens: Of one answer, over the tasks' own; None leaves it to task and server.
        temperature: 0 is greedy.
        concurrency: Requests in flight at most; fewer while the server is overloaded.
        limit: Only the first so many questions of each file or group; None asks all.
        family: The family of rows that name none.
        data: The folder that has the items of tasks.
        allow_code: Whether programs of the model may run on this machine.
        skip_missing: Leave out tasks whose items are not found.
        profiles: Older graders whose verdicts are given beside ours.
        api_key: Sent as a bearer token, never stored.
        timeout_seconds: Of one request, from connecting to the last byte.
        retry: When to ask again.
    """

    model: str
    suite: str
    output: Path
    base_url: str = ""
    backend: BackendName = "http"
    engine: str = "auto"
    model_type: str | None = None
    engine_arguments: tuple[str, ...] = ()
    replay: Path | None = None
    condition: str = ""
    system: str = ""
    max_tokens: int | None = None
    temperature: float = 0.0
    concurrency: int = 256
    limit: int | None = None
    family: str | None = None
    data: Path | None = None
    allow_code: bool = False
    skip_missing: bool = False
    profiles: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 600.0
    retry: Retry = field(default_factory=Retry)

    def identity(self) -> dict[str, object]:
        """The values that change answers: a run folder may only be resumed with the same ones."""
        source: dict[str, object] = {"backend": self.backend}
        if self.backend == "http":
            source = {"base_url": api_root(self.base_url)}
        elif self.backend == "replay":
            source["replay"] = str(self.replay)
        else:
            source["engine"] = self.engine
        answers = {
            "model": self.model,
            "condition": self.condition,
            **source,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        return answers | ({"system": self.system} if self.system else {})


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
