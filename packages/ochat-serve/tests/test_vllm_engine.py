"""The vLLM engine against the Transformers engine, on the same weights in float32."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ochat_serve import (
    Engine,
    EngineDeadError,
    EngineOptions,
    SamplingParams,
    SetupError,
    create_engine,
)
from ochat_serve.engine import TokenLogprobs
from ochat_serve.engine.transformers import TransformersEngine
from ochat_serve.engine.vocabulary import Vocabulary
from ochat_serve.testing import LocalServer, free_port, wait_until
from ochat_templates import Codec, Conversation, Message

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM"),
    # vLLM and its dependencies warn about their own code; ours still fails on a warning.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(vllm|torch|swigvarlink|importlib).*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:(vllm|torch).*"),
    pytest.mark.filterwarnings("ignore::UserWarning:(vllm|torch).*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CONTEXT = 256
QUESTIONS = ["Hello", "How many tokens?", "你好", "Write a function", "1, 2, 3", "lazy dog"]
SCHEMAS: list[dict[str, Any]] = [
    {"enum": ["red", "größe", 3, None]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 5},
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "size": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/small"}]},
        },
        "required": ["name", "size"],
        "additionalProperties": False,
        "$defs": {"small": {"type": "integer", "minimum": 0, "maximum": 99}},
    },
]
GREEDY = SamplingParams(temperature=0.0, max_tokens=32)


@pytest.fixture(scope="module", autouse=True)
def small_vllm() -> Iterator[None]:
    """Settings under which a toy model starts in seconds on a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


def vllm(folder: Path, *more: str, vocabulary: Vocabulary | None = None) -> Engine:
    options = EngineOptions(
        max_model_len=CONTEXT,
        dtype="float32",
        vocabulary=vocabulary,
        vllm_arguments=("--enforce-eager", "--max-num-seqs", "16", *more),
    )
    return create_engine("vllm", folder, options)


async def answer(
    engine: Engine, prompt: list[int], sampling: SamplingParams, name: str
) -> tuple[list[int], str | None]:
    ids: list[int] = []
    reason = None
    async for event in engine.generate(prompt, sampling, name):
        ids += event.token_ids
        reason = event.finish_reason
    return ids, reason


async def answers(
    engine: Engine, cases: list[tuple[list[int], SamplingParams]]
) -> list[tuple[list[int], str | None]]:
    """All cases at once."""
    tasks = [answer(engine, *case, name=f"r{i}") for i, case in enumerate(cases)]
    return list(await asyncio.gather(*tasks))


def processes() -> dict[int, tuple[int, str, str]]:
    """Parent, state and command line of every process."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=3) for line in listed.stdout.splitlines()]
    return {int(r[0]): (int(r[1]), r[2], r[3]) for r in rows if len(r) == 4}


def engine_processes(root: int) -> set[int]:
    """Processes below `root`; the tracker that Python starts for itself is not an engine."""
    below: set[int] = {root}
    for pid, (parent, _, arguments) in sorted(processes().items()):
        if parent in below and "resource_tracker" not in arguments and "ps -ww" not in arguments:
            below.add(pid)
    return below - {root}


def alive(pids: set[int]) -> set[int]:
    """Those that still run, whoever their parent is now."""
    running = processes()
    return {pid for pid in pids if pid in running and not running[pid][1].startswith("Z")}


def test_the_engine_answers_as_transformers_does_stops_aborts_and_leaves_nothing(
    model_folder: Path, codec: Codec
) -> None:
    """One engine for all claims: starting vLLM takes most of the time."""
    prompts = [
        codec.prompt(Conversation(messages=(Message(role="user", content=text),)))
        for text in QUESTIONS
    ]

    async def run() -> None:
        vocabulary = Vocabulary.of(codec)
        reference = TransformersEngine(
            model_folder, max_model_len=CONTEXT, dtype="float32", vocabulary=vocabulary
        )
        await reference.start()
        free = await answers(reference, [(prompt, GREEDY) for prompt in prompts])
        cases = compared(prompts, [ids for ids, _ in free], codec)
        expected = await answers(reference, cases)
        assert expected[len(free) * 3][0] == [7] * 4
        scores = await scored(reference, prompts[0])
        await reference.stop()
        engine = vllm(model_folder, vocabulary=vocabulary)
        await engine.start()
        try:
            engine.check_health()
            engine_pids = engine_processes(os.getpid())
            assert len(alive(engine_pids)) >= 1
            assert await answers(engine, cases) == expected
            assert [reason for _, reason in expected[6:12]].count("stop") >= 3
            check_json(expected[-len(prompts) * len(SCHEMAS) :], codec)
            found = await scored(engine, prompts[0])
            assert [(e.token_id, [i for i, _ in e.top]) for e in found] == [
                (e.token_id, [i for i, _ in e.top]) for e in scores
            ]
            assert [e.logprob for e in found] == pytest.approx(
                [e.logprob for e in scores], abs=1e-3
            )
            await check_seed(engine, prompts[0])
            await check_abort(engine, prompts[0])
        finally:
            await engine.stop()
        with pytest.raises(EngineDeadError):
            engine.check_health()
        wait_until(lambda: not alive(engine_pids), seconds=20)

    asyncio.run(run())


def compared(
    prompts: list[list[int]], free: list[list[int]], codec: Codec
) -> list[tuple[list[int], SamplingParams]]:
    """What both engines must answer alike; `free` are the answers without any limit."""
    # The sixth token of each answer becomes its stop id, once barred at the beginning.
    stopping = [
        SamplingParams(temperature=0.0, max_tokens=32, stop_ids=(ids[5],), min_tokens=m)
        for ids, m in zip(free, (0, 0, 0, 8, 8, 8), strict=True)
    ]
    penalised = SamplingParams(
        temperature=0.0,
        max_tokens=16,
        repetition_penalty=1.3,
        presence_penalty=0.5,
        frequency_penalty=0.5,
    )
    cases = [(p, GREEDY) for p in prompts]
    cases += list(zip(prompts, stopping, strict=True))
    cases += [(p, penalised) for p in prompts]
    biased = SamplingParams(temperature=0.0, max_tokens=4, logit_bias=((7, 100.0), (9, -100.0)))
    cases.append((prompts[0], biased))
    # Told of five tokens at once: the answer is the same.
    cases.append((prompts[1], replace(GREEDY, stream_interval=5)))
    cases += [(prompt, held_to(schema, codec)) for prompt in prompts for schema in SCHEMAS]
    return cases


def held_to(schema: dict[str, Any], codec: Codec) -> SamplingParams:
    return SamplingParams(
        temperature=0.0, max_tokens=100, stop_ids=codec.stop_ids, json_schema=json.dumps(schema)
    )


def check_json(given: list[tuple[list[int], str | None]], codec: Codec) -> None:
    """Most of the answers end by themselves, and those are JSON."""
    ended = [ids for ids, reason in given if reason == "stop"]
    assert len(ended) > len(given) / 2
    for ids in ended:
        assert ids[-1] == codec.eot_id
        json.loads(codec.decode(ids[:-1]))


async def scored(engine: Engine, prompt: list[int]) -> list[TokenLogprobs]:
    """Log probabilities of prompt and answer."""
    sampling = SamplingParams(temperature=0.0, max_tokens=6, logprobs=3, prompt_logprobs=2)
    entries: list[TokenLogprobs] = []
    async with aclosing(engine.generate(prompt, sampling, "scored")) as events:
        async for event in events:
            entries += [*event.prompt_logprobs, *event.logprobs]
    assert len(entries) == len(prompt) - 1 + 6
    return entries


async def check_seed(engine: Engine, prompt: list[int]) -> None:
    seeded = SamplingParams(temperature=1.5, seed=4, max_tokens=16)
    assert await answer(engine, prompt, seeded, "s1") == await answer(engine, prompt, seeded, "s2")


async def check_abort(engine: Engine, prompt: list[int]) -> None:
    from ochat_serve.engine.vllm import VllmEngine

    assert isinstance(engine, VllmEngine)
    events = engine.generate(prompt, SamplingParams(max_tokens=200), "aborted")
    async with aclosing(events):
        await anext(events)
        assert engine.unfinished == 1
    assert engine.unfinished == 0
    assert len((await answer(engine, prompt, GREEDY, "after"))[0]) == 32


def test_an_argument_that_nobody_knows_is_refused(model_folder: Path) -> None:
    with pytest.raises(SetupError, match="--no-such-thing"):
        vllm(model_folder, "--no-such-thing", "1")
    with pytest.raises(SetupError, match="tensor-parallel-size"):
        vllm(model_folder, "--tensor-parallel-size", "many")


def test_the_command_finishes_a_stream_on_ctrl_c_and_leaves_no_process(
    model_folder: Path,
) -> None:
    """Ctrl-C reaches every process of the terminal's group, vLLM's own too."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ochat_serve", str(model_folder), "--port", str(port)),
            *("--dtype", "float32", "--enforce-eager"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    server = LocalServer(url=f"http://127.0.0.1:{port}")

    def ready() -> bool:
        try:
            return process.poll() is not None or server.get("/ready")[0] == 200
        except OSError:
            return False

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {
        "model": "toy-llama",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 200,
        "ignore_eos": True,
        "stream": True,
    }
    try:
        wait_until(ready, seconds=240)
        engine_pids = engine_processes(process.pid)
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        response = connection.getresponse()
        response.read(50)
        os.killpg(process.pid, signal.SIGINT)
        rest = response.read()
    finally:
        connection.close()
        process.terminate()
        printed, said = process.communicate(timeout=60)
    assert rest.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"length"' in rest
    assert process.returncode == 0, said
    assert printed == ""
    assert "engine       vllm" in said
    assert engine_pids
    wait_until(lambda: not alive(engine_pids), seconds=20)
