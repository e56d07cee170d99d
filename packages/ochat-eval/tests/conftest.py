"""A scripted OpenAI-compatible server in a thread, real questions, and the folder of test data."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval import Question, Retry, RunConfig

Answer = Callable[[dict[str, Any], int], web.StreamResponse | str]


def completion(text: str | None, finish_reason: str = "stop") -> web.Response:
    message = {"role": "assistant", "content": text}
    return web.json_response(
        {
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }
    )


@dataclass
class ScriptedServer:
    """Answers by `answer(body, attempt)`; a str is a normal completion. Counts what it sees."""

    answer: Answer = lambda _body, _attempt: "The answer is (A)."
    key: str | None = None
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    most_in_flight: int = 0
    delay_seconds: float = 0.0
    on_request: Callable[[int], None] | None = None
    leave: Callable[[], object] = lambda: None
    stop: Callable[[], None] = lambda: None

    def prompt_of(self, body: dict[str, Any]) -> str:
        return body["messages"][0]["content"]

    async def models(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response({"object": "list", "data": [{"id": "tiny"}, {"id": "tiny-alias"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        body = await request.json()
        self.bodies.append(body)
        prompt = self.prompt_of(body)
        attempt = self.attempts[prompt] = self.attempts.get(prompt, 0) + 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.on_request:
                self.on_request(len(self.bodies))
            await asyncio.sleep(self.delay_seconds)
            answer = self.answer(body, attempt)
            if answer == "<stall>":
                await asyncio.sleep(30)
        finally:
            self.in_flight -= 1
        if answer == "<reset>":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return completion(answer) if isinstance(answer, str) else answer

    def _check(self, request: web.Request) -> None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            message = json.dumps({"error": {"message": "invalid api key"}})
            raise web.HTTPUnauthorized(text=message, content_type="application/json")


async def _serve(server: ScriptedServer, ready: threading.Event, done: asyncio.Event) -> None:
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}/v1"
    server.leave = done.set
    ready.set()
    await done.wait()
    await runner.cleanup()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted, ready, loop = ScriptedServer(), threading.Event(), asyncio.new_event_loop()
    done = asyncio.Event()

    def work() -> None:
        loop.run_until_complete(_serve(scripted, ready, done))
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()

    def stop() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(done.set)
            thread.join(timeout=10)

    scripted.stop = stop
    assert ready.wait(10)
    yield scripted
    stop()


@pytest.fixture
def make_suite(tmp_path: Path) -> Callable[[list[Question]], str]:
    """Writes questions as a suite file and gives its path."""

    def write(questions: list[Question]) -> str:
        path = tmp_path / "suite.jsonl"
        path.write_text("".join(json.dumps(q.to_json()) + "\n" for q in questions))
        return str(path)

    return write


@pytest.fixture
def completed() -> Callable[..., web.Response]:
    """A chat completion as an HTTP response, where a scripted answer needs more than a text."""
    return completion


@pytest.fixture
def questions() -> list[Question]:
    """Sixty questions, half of them multiple choice, half numeric, in two groups."""
    letters = ("A", "B", "C", "D")
    return [
        Question(
            id=f"q{i}",
            group="letters" if i % 2 else "numbers",
            family="choice" if i % 2 else "number",
            prompt=f"question {i}?",
            labels=(letters[i % 4],) if i % 2 else (str(1000 + i),),
            options=letters if i % 2 else (),
        )
        for i in range(60)
    ]


LETTER_FORMS = ["{}", "({})", "The answer is ({}).", "**Answer: {}**", "I choose {}.",
                "First (A), then not; so the answer is \\boxed{{{}}}", "{} because it is.",
                "<think>perhaps (A)</think>\n\nThe correct option is ({})"]  # fmt: skip
NUMBER_FORMS = ["{}", "{:,}", "The answer is {:,}.", "#### {}", "So it is 3 + 4 = {}.", "${:,}.00",
                "\\boxed{{{}}}", "The answer is {} apples. I used 3 steps."]  # fmt: skip


def draw(text: str, n: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % n


def is_right(question: Question) -> bool:
    return draw(f"right {question.id}", 10) < 7


@pytest.fixture(name="is_right")
def right_by_plan() -> Callable[[Question], bool]:
    """The plan: which questions the oracle answers rightly."""
    return is_right


@pytest.fixture
def oracle(questions: list[Question]) -> Answer:
    """Answers rightly iff `is_right`, in a surface form that the question's id draws."""
    by_prompt = {question.prompt: question for question in questions}

    def answer(body: dict[str, Any], _attempt: int) -> str:
        question = by_prompt[body["messages"][0]["content"]]
        label, right = question.labels[0], is_right(question)
        if question.family == "number":
            form = NUMBER_FORMS[draw(question.id, len(NUMBER_FORMS))]
            return form.format(int(label) + (0 if right else 7))
        wrong = "ABCD"[("ABCD".index(label) + 1) % 4]
        return LETTER_FORMS[draw(question.id, len(LETTER_FORMS))].format(label if right else wrong)

    return answer


@pytest.fixture
def config(
    server: ScriptedServer,
    questions: list[Question],
    make_suite: Callable[[list[Question]], str],
    tmp_path: Path,
    oracle: Answer,
) -> RunConfig:
    """A run of all questions against the oracle."""
    server.answer = oracle
    return RunConfig(
        base_url=server.url,
        model="tiny",
        suite=make_suite(questions),
        output=tmp_path / "run",
        concurrency=8,
        retry=Retry(attempts=4, first_wait_seconds=0.01),
    )


@pytest.fixture
def test_data() -> Path:
    """The folder of real data that is never part of the project."""
    folder = os.environ.get("OCHAT_TEST_DATA")
    if not folder:
        pytest.skip("OCHAT_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture
def grading_cases(test_data: Path) -> list[dict[str, Any]]:
    """The adversarial cases with their expected verdicts and those of public graders."""
    lines = (test_data / "grading_cases.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
