"""What other people's clients make of a server: one row for each client that is installed here.

    pip install openai litellm langchain-openai instructor "pydantic-ai-slim[openai]"
    python client_matrix.py http://127.0.0.1:18888 MODEL [KEY]

Each client asks, streams, gets an object under a schema where it can, and meets an error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

QUESTION = "Why is the sky blue?"
SCHEMA = {
    "title": "Answer",
    "type": "object",
    "properties": {
        "colour": {"type": "string", "maxLength": 8},
        "sure": {"type": "boolean"},
    },
    "required": ["colour", "sure"],
    "additionalProperties": False,
}
Checks = dict[str, Callable[[], object]]


def openai_client(url: str, model: str, key: str) -> Checks:
    """The official client."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    messages: Any = [{"role": "user", "content": QUESTION}]
    held: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}

    def streams() -> object:
        chunks = client.chat.completions.create(
            model=model, messages=messages, stream=True, max_tokens=8
        )
        return "".join(c.choices[0].delta.content or "" for c in chunks)

    def schema() -> object:
        answer = client.chat.completions.create(
            model=model, messages=messages, response_format=held
        )
        return json.loads(answer.choices[0].message.content or "")

    def error() -> object:
        try:
            client.models.retrieve("no-such-model")
        except openai.NotFoundError as refused:
            return refused.code
        raise AssertionError("no error came")

    def asks() -> object:
        answer = client.responses.create(model=model, input=QUESTION, max_output_tokens=16)
        return answer.output_text

    return {"asks": asks, "streams": streams, "schema": schema, "error": error}


def litellm_client(url: str, model: str, key: str) -> Checks:
    """LiteLLM, as a gateway calls it."""
    # pyrefly: ignore[missing-import]
    import litellm

    common: dict[str, Any] = {
        "model": f"openai/{model}",
        "api_base": f"{url}/v1",
        "api_key": key,
        "messages": [{"role": "user", "content": QUESTION}],
        "num_retries": 0,
    }

    def asks() -> object:
        return litellm.completion(**common, max_tokens=8).choices[0].message.content

    def streams() -> object:
        chunks = litellm.completion(**common, max_tokens=8, stream=True)
        return "".join(c.choices[0].delta.content or "" for c in chunks)

    def schema() -> object:
        held = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
        answer = litellm.completion(**common, response_format=held)
        return json.loads(answer.choices[0].message.content)

    def error() -> object:
        try:
            litellm.completion(**{**common, "model": "openai/no-such-model"})
        except litellm.NotFoundError as refused:
            return type(refused).__name__
        raise AssertionError("no error came")

    return {"asks": asks, "streams": streams, "schema": schema, "error": error}


def langchain_client(url: str, model: str, key: str) -> Checks:
    """LangChain's chat model."""
    import openai

    # pyrefly: ignore[missing-import]
    from langchain_openai import ChatOpenAI

    def chat(**options: Any) -> Any:  # noqa: ANN401 (what the client takes and gives)
        return ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model, max_retries=0, **options)

    def error() -> object:
        try:
            chat(temperature=9).invoke(QUESTION)
        except openai.BadRequestError as refused:
            return refused.param
        raise AssertionError("no error came")

    return {
        "asks": lambda: chat(max_tokens=8).invoke(QUESTION).content,
        "streams": lambda: "".join(p.content for p in chat(max_tokens=8).stream(QUESTION)),
        "schema": lambda: (
            chat().with_structured_output(SCHEMA, method="json_schema").invoke(QUESTION)
        ),
        "error": error,
    }


def instructor_client(url: str, model: str, key: str) -> Checks:
    """Instructor, which asks for objects only."""
    # pyrefly: ignore[missing-import]
    import instructor
    import openai
    from pydantic import BaseModel

    class Answer(BaseModel, extra="forbid"):  # or a model that knows nothing goes on adding
        sure: bool

    client: Any = instructor.from_openai(
        openai.OpenAI(base_url=f"{url}/v1", api_key=key), mode=instructor.Mode.JSON_SCHEMA
    )

    def schema() -> object:
        messages = [{"role": "user", "content": QUESTION}]
        return client.chat.completions.create(
            model=model, messages=messages, response_model=Answer, max_retries=0
        )

    return {"schema": schema}


def pydantic_ai_client(url: str, model: str, key: str) -> Checks:
    """Pydantic AI's agent."""
    from pydantic import BaseModel

    # pyrefly: ignore[missing-import]
    from pydantic_ai import Agent, NativeOutput

    # pyrefly: ignore[missing-import]
    from pydantic_ai.models.openai import OpenAIChatModel

    # pyrefly: ignore[missing-import]
    from pydantic_ai.providers.openai import OpenAIProvider

    class Answer(BaseModel, extra="forbid"):  # or a model that knows nothing goes on adding
        sure: bool

    known = OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key))
    return {
        "asks": lambda: Agent(known, model_settings={"max_tokens": 8}).run_sync(QUESTION).output,
        "schema": lambda: Agent(known, output_type=NativeOutput(Answer)).run_sync(QUESTION).output,
    }


def curl_client(url: str, model: str, key: str) -> Checks:
    """curl, which reads bytes."""

    def call(**fields: object) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], **fields}
        command = [
            *("curl", "-sS", "-N", f"{url}/v1/chat/completions", "-d", json.dumps(body)),
            *("-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout

    held = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}

    def said(raw: str) -> str:
        return json.loads(raw)["choices"][0]["message"]["content"]

    def streams() -> object:
        raw = call(stream=True, max_tokens=8)
        if not raw.endswith("data: [DONE]\n\n"):
            raise AssertionError(f"the stream ends with {raw[-40:]!r}")
        return raw.count("data: ")

    return {
        "asks": lambda: said(call(max_tokens=8)),
        "streams": streams,
        "schema": lambda: json.loads(said(call(response_format=held))),
        "error": lambda: json.loads(call(temperature=9))["error"]["param"],
    }


CLIENTS: dict[str, Callable[[str, str, str], Checks]] = {
    "openai": openai_client,
    "litellm": litellm_client,
    "langchain-openai": langchain_client,
    "instructor": instructor_client,
    "pydantic-ai-slim": pydantic_ai_client,
    "curl": curl_client,
}


def main() -> int:
    """Print the table; the exit code is 1 if a client failed."""
    url, model, key = [*sys.argv[1:], "none"][:3]
    failed = False
    print("| client | asks | streams | schema | error |\n|---|---|---|---|---|")
    for name, make in CLIENTS.items():
        try:
            shown = name if name == "curl" else f"{name} {version(name)}"
            checks = make(url, model, key)
        except (PackageNotFoundError, ImportError) as error:
            print(f"{name}: not installed ({error})", file=sys.stderr)
            continue
        cells = []
        for check in ("asks", "streams", "schema", "error"):
            verdict = "-"
            if check in checks:
                try:
                    found = checks[check]()
                    verdict = "yes"
                    print(f"{name} {check}: {found!r}", file=sys.stderr)
                except Exception as error:  # each client has errors of its own
                    verdict, failed = "no", True
                    print(f"{name} {check}: {type(error).__name__}: {error}", file=sys.stderr)
            cells.append(verdict)
        print(f"| {shown} | {' | '.join(cells)} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
