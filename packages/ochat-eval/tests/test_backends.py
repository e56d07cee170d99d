from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ochat_eval import Question, RunConfig, RunFolderError, ServerError, run_suite
from ochat_eval.backends import Reply, create_backend
from ochat_eval.backends.engine import EngineBackend

PROMPTS = ("a b", "a  b \n", "<|end_of_turn|> GPT4 Assistant:", "caf\u00e9")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder without weights, which the scripted engine serves."""
    from ochat_templates import ModelCard, load_codec
    from ochat_templates.testing import train_sentencepiece

    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    texts = ["GPT4 User: what is a b? GPT4 Assistant: The answer is (A), a caf\u00e9."] * 40
    train_sentencepiece(texts, path / "tokenizer.model", vocab_size=300)
    codec = load_codec(path, "openchat_v3.2")
    card = ModelCard(model_type="openchat_v3.2", context_length=400, fingerprint=codec.fingerprint)
    card.write(path)
    return path


@pytest.fixture
def local(config: RunConfig, folder: Path) -> RunConfig:
    """A run of the engine in this process."""
    return replace(config, backend="engine", engine="scripted", base_url="", model=str(folder))


def ask(config: RunConfig, *questions: Question) -> tuple[Any, list[Reply]]:
    async def work() -> tuple[Any, list[Reply]]:
        async with create_backend(config) as backend:
            await backend.check()
            asked = [backend.ask(question, on_throttle=lambda: None) for question in questions]
            return backend, list(await asyncio.gather(*asked))

    return asyncio.run(work())


def question(prompt: str, **more: Any) -> Question:
    return Question(id=prompt, group="g", family="choice", prompt=prompt, labels=("A",), **more)


@pytest.mark.parametrize(("condition", "system"), [("", ""), ("GPT4", ""), ("GPT3", "Be brief.")])
def test_the_engine_gets_exactly_the_templates_prompt_ids(
    local: RunConfig, folder: Path, condition: str, system: str
) -> None:
    from ochat_templates import Conversation, Message, load_codec

    codec = load_codec(folder, "openchat_v3.2")
    asked = [question(prompt, max_tokens=5) for prompt in PROMPTS]
    backend, replies = ask(replace(local, condition=condition, system=system), *asked)
    assert isinstance(backend, EngineBackend)
    engine: Any = backend.engine
    seen = {request.prompt_ids: request.sampling for request in engine.requests}
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        conversation = Conversation(
            messages=(Message(role="user", content=prompt),), condition=condition, system=system
        )
        ids = tuple(codec.prompt(conversation))
        assert (seen[ids].max_tokens, seen[ids].temperature) == (5, 0.0)
        assert reply.prompt_tokens == len(ids)
        assert reply.error is None


def test_the_engine_answers_a_whole_suite_and_what_does_not_fit_is_an_error(
    local: RunConfig, make_suite: Any
) -> None:
    asked = [question("(A)", options=("A", "B")), question("x " * 600), question("(B)")]
    summary: Any = run_suite(replace(local, suite=make_suite(asked)))
    assert summary["overall"]["errors"] == 1
    assert summary["config"]["backend"] == "engine"
    rows = (local.output / "verdicts.jsonl").read_text().splitlines()
    assert "maximum context length is 400" in json.loads(rows[1])["rule"]


def test_a_limit_that_does_not_fit_is_left_out_and_told(local: RunConfig) -> None:
    _, [reply] = ask(local, question("short", max_tokens=5000))
    assert reply.fitted
    assert reply.text


def test_a_folder_that_cannot_be_loaded_is_told_in_one_sentence(
    local: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(ServerError, match="There is no model folder"):
        ask(replace(local, model=str(tmp_path / "nothing")))
    with pytest.raises(ServerError, match=r"openchat\.json"):
        ask(replace(local, model=str(tmp_path)))


def test_a_spawned_server_answers_like_the_engine_and_is_gone_afterwards(
    local: RunConfig, make_suite: Any
) -> None:
    asked = [question("(A)", options=("A", "B")), question("(B)", options=("A", "B"))]
    suite = make_suite(asked)
    first: Any = run_suite(replace(local, suite=suite))
    spawned = replace(local, suite=suite, backend="serve", output=local.output / "served")
    second: Any = run_suite(spawned)
    assert first["overall"] == second["overall"]
    texts = [
        [json.loads(line)["text"] for line in (path / "responses.jsonl").read_text().splitlines()]
        for path in (local.output, spawned.output)
    ]
    assert sorted(texts[0]) == sorted(texts[1])
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False)
    assert f"ochat_serve {local.model}" not in listing.stdout


def test_a_server_that_does_not_start_is_told_with_its_last_words(local: RunConfig) -> None:
    with pytest.raises(ServerError, match="ochat-serve did not start: .*There is no model folder"):
        ask(replace(local, backend="serve", model="/nowhere"))


def test_a_replayed_run_has_the_same_verdicts_and_asks_nobody(
    config: RunConfig, server: Any
) -> None:
    first: Any = run_suite(config)
    server.stop()
    replayed = replace(
        config, backend="replay", replay=config.output, output=config.output.with_name("again")
    )
    second: Any = run_suite(replayed)
    assert second["overall"] == first["overall"]
    verdicts = [(path / "verdicts.jsonl").read_bytes() for path in (config.output, replayed.output)]
    assert verdicts[0] == verdicts[1]


def test_a_prompt_that_was_never_asked_has_no_answer_in_a_replay(config: RunConfig) -> None:
    run_suite(config)
    replayed = replace(config, backend="replay", replay=config.output)
    _, [reply] = ask(replayed, question("never asked"))
    assert reply.error == "the replayed run holds no answer to this prompt"
    with pytest.raises(RunFolderError, match="--replay"):
        create_backend(replace(config, backend="replay"))


def test_a_request_that_exceeds_the_context_is_sent_again_without_its_limit(
    config: RunConfig, server: Any
) -> None:
    def answer(body: dict[str, Any], _attempt: int) -> str | web.Response:
        if body.get("max_tokens", 0) > 100:
            told = {"error": {"message": "This model's maximum context length is 100 tokens"}}
            return web.json_response(told, status=400)
        return "The answer is (A)."

    server.answer = answer
    _, replies = ask(config, question("long", max_tokens=500), question("short", max_tokens=50))
    assert [reply.fitted for reply in replies] == [True, False]
    assert all(reply.text == "The answer is (A)." for reply in replies)


def always_a(_body: dict[str, Any], _attempt: int) -> str:
    return "A"


def test_system_text_and_stops_are_sent(config: RunConfig, server: Any) -> None:
    server.answer = always_a
    ask(replace(config, system="Be brief."), question("x", stop=("END",)))
    body = server.bodies[-1]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["stop"] == ["END"]


def test_an_evaluation_over_http_loads_neither_torch_nor_transformers(
    config: RunConfig, tmp_path: Path
) -> None:
    code = (
        "import sys; from ochat_eval.__main__ import main; "
        f"main(['run', '--base-url', {config.base_url!r}, '--model', 'tiny', '--suite', "
        f"{config.suite!r}, '--output', {str(tmp_path / 'out')!r}]); "
        "heavy = {'torch', 'transformers', 'ochat_serve', 'datasets', 'sympy', 'numpy'}; "
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout
