"""One chat request to an OpenAI-compatible server: retries where they help, one `Reply` at the end.

Knows HTTP and nothing of questions, grading or files. The client is aiohttp because the client's
own time decides how long a big suite takes: about 0.15 ms of CPU a request, httpx 2.4 to 7 ms.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from ochat_eval.backends.base import Reply
from ochat_eval.config import RunConfig, api_root
from ochat_eval.errors import ServerError, UnreachableError

_PASSING = frozenset({408, 409, 425, 429})
_FATAL = frozenset({401, 403, 404, 405})
_LONGEST_RETRY_AFTER_SECONDS = 300.0


class _PassingError(Exception):
    """A failure that may pass.

    `wait_seconds` is what the server asked for, if it did; `unconnected`: nobody was there;
    `overload`: there is too much in flight.
    """

    def __init__(
        self,
        reason: str,
        *,
        wait_seconds: float | None = None,
        unconnected: bool = False,
        overload: bool = False,
    ) -> None:
        super().__init__(reason)
        self.wait_seconds, self.unconnected = wait_seconds, unconnected
        self.overload = overload


class _RefusedError(Exception):
    """The server refuses this one request for good."""


class ChatClient:
    """Sends chat requests to one server; use it as an asynchronous context manager."""

    def __init__(self, config: RunConfig) -> None:
        """Remember where and how to ask; nothing is sent yet.

        Raises:
            ServerError: The base URL is none, or no HTTP header can carry the key.
        """
        if config.api_key and not config.api_key.isprintable():
            raise ServerError(
                "the API key contains a line break or another character that cannot be sent: "
                "give the key alone by --api-key or OPENAI_API_KEY"
            )
        self._root = api_root(config.base_url)
        self._config = config
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections' pool."""
        key = self._config.api_key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._config.concurrency + 1),
            cookie_jar=aiohttp.DummyCookieJar(),  # none are kept, and looking takes its time
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_seconds, sock_connect=10),
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {key}"} if key else {}),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def check_model(self) -> None:
        """Make sure that the server is there, takes the key and serves the model.

        Raises:
            UnreachableError: Nothing answers.
            ServerError: What answers refuses the key, is no such API, or has no such model.
        """
        status, body = await self._get("/models")
        if status != 200:
            raise _fatal(status, body, self._root)
        served = _served_models(body)
        model = self._config.model
        if model in served:
            return
        status, _ = await self._get(f"/models/{quote(model, safe='')}")
        if status != 200:
            raise ServerError(
                f"{self._root} does not serve {model!r}: give --model one of "
                f"{', '.join(served) or '(the server lists none)'}"
            )

    async def ask(self, body: bytes, *, on_throttle: Callable[[], None]) -> Reply:
        """Send one chat request, again where a failure may pass, and say what came of it.

        An answer without any text is asked for once more: servers under load have been seen to
        give one. If it is empty again, that is the answer.

        Args:
            body: The JSON of the request.
            on_throttle: Called when the server refuses for load or does not answer in time.

        Raises:
            UnreachableError: The connection failed for good and nothing answers there any more.
            ServerError: The server refuses key, route or model: no other question would do better.
        """
        start, attempts = time.perf_counter(), self._config.retry.attempts
        failure, empty = _PassingError("not sent"), False
        for attempt in range(1, attempts + 1):
            try:
                decoded = await self._post(body)
            except _RefusedError as error:
                return Reply(error=str(error), attempts=attempt, seconds=_since(start))
            except _PassingError as error:
                failure = error
                if error.overload:
                    on_throttle()
                if attempt < attempts:
                    await asyncio.sleep(self._wait(attempt, error.wait_seconds))
            else:
                reply = _reply(decoded, attempt, _since(start))
                if empty or reply.text != "" or reply.finish_reason == "length":
                    return reply
                empty, failure = True, _PassingError("an answer without text")
        if empty:
            return Reply(text="", finish_reason="stop", attempts=attempts, seconds=_since(start))
        if failure.unconnected:
            await self._get("/models")  # raises where nobody is left to ask
        return Reply(error=str(failure), passing=True, attempts=attempts, seconds=_since(start))

    async def _post(self, body: bytes) -> Mapping[str, Any]:
        """One attempt: the decoded answer of a 200."""
        try:
            async with self._open.post(f"{self._root}/chat/completions", data=body) as answer:
                status, content = answer.status, await answer.read()
                wait = _retry_after(answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            unconnected = isinstance(error, aiohttp.ClientConnectorError)
            raise _PassingError(
                _transport(error),
                unconnected=unconnected,
                overload=isinstance(error, TimeoutError),
            ) from error
        if status == 200:
            return _decoded(content)
        if status in _FATAL:
            raise _fatal(status, content, self._root)
        if status in _PASSING or status >= 500:
            overload = status in (429, 503)
            raise _PassingError(
                f"{status}: {_message(content)}", wait_seconds=wait, overload=overload
            )
        raise _RefusedError(f"{status}: {_message(content)}")

    async def _get(self, path: str) -> tuple[int, bytes]:
        try:
            async with self._open.get(self._root + path) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise UnreachableError(
                f"no server answers at {self._root} ({_transport(error)}): start one, for example "
                "with `ochat-serve MODEL`, or correct --base-url"
            ) from error

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use ChatClient with `async with`")
        return self._session

    def _wait(self, attempt: int, asked_seconds: float | None) -> float:
        """Seconds before the next attempt: doubling with jitter, never less than was asked for."""
        retry = self._config.retry
        wait = min(retry.longest_wait_seconds, retry.first_wait_seconds * 2 ** (attempt - 1))
        jittered = wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, hides nothing
        return jittered if asked_seconds is None else asked_seconds + 0.1 * jittered


def _decoded(content: bytes) -> Mapping[str, Any]:
    """The JSON object of a 200; anything else is an answer that was cut on its way."""
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _PassingError("the server's answer is no valid JSON") from error
    if not isinstance(decoded, dict):
        raise _PassingError("the server's answer is no JSON object")
    return decoded


def _reply(decoded: Mapping[str, Any], attempts: int, seconds: float) -> Reply:
    """The first choice of a chat completion; a body of another shape is a refusal."""
    try:
        choice = decoded["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text = message.get("content") or ""
        reasoning = message.get("reasoning_content") or message.get("reasoning")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Reply(
            error="200 without choices[0].message: the server speaks another protocol",
            attempts=attempts,
            seconds=seconds,
        )
    usage = decoded.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return Reply(
        text=str(text),
        finish_reason=finish,
        attempts=attempts,
        seconds=seconds,
        prompt_tokens=counts.get("prompt_tokens"),
        completion_tokens=counts.get("completion_tokens"),
        reasoning=reasoning if isinstance(reasoning, str) else None,
        first_token=_first_token(choice.get("logprobs")),
    )


def _first_token(logprobs: object) -> dict[str, float] | None:
    """The log probabilities of the first token's alternatives; None where there are none."""
    if not isinstance(logprobs, Mapping):
        return None
    try:
        first = logprobs["content"][0]
        return {str(each["token"]): float(each["logprob"]) for each in first["top_logprobs"]}
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _fatal(status: int, body: bytes, root: str) -> ServerError:
    if status in (401, 403):
        return ServerError(
            f"{root} refuses the key ({status}: {_message(body)}): give the right one by --api-key "
            "or OPENAI_API_KEY"
        )
    return ServerError(
        f"{root} is not the API of an OpenAI-compatible server, or no longer serves the model "
        f"({status}: {_message(body)}): correct --base-url or --model"
    )


def _served_models(body: bytes) -> list[str]:
    try:
        return [str(model["id"]) for model in orjson.loads(body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _message(body: bytes) -> str:
    """The message of OpenAI's error object, else the beginning of the body, on one line."""
    try:
        error = orjson.loads(body)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = body.decode(errors="replace")
    return " ".join(text.split())[:300] or "no message"


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def _transport(error: BaseException) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 4)
