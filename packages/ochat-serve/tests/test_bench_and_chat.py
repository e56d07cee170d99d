"""The commands `bench` and `chat` against a server of this package."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from ochat_serve import ScriptedEngine, ServerSettings
from ochat_serve.bench.load import Load, Sample
from ochat_serve.bench.report import summary, table
from ochat_serve.testing import LocalServer, free_port
from ochat_templates import Codec


def command(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ochat_serve", *words],
        capture_output=True,
        text=True,
        input=text,
        timeout=60,
    )


def test_bench_counts_what_the_server_did(serve: Callable[..., LocalServer]) -> None:
    engine = ScriptedEngine([5] * 50, tokens_per_second=200)
    server = serve(engine, ServerSettings(api_keys=("sk-one",)))
    ran = command(
        *("bench", server.url, "--requests", "12", "--concurrency", "4", "--max-tokens", "20"),
        *("--json", "--api-key", "sk-one"),
    )
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout)
    assert (figures["requests"], figures["failed"], figures["output_tokens"]) == (12, 0, 240)
    assert figures["prompt_tokens"] == sum(len(r.prompt_ids) for r in engine.requests)
    # 5 ms a token: three rounds of four take at least 0.3 s, and a token can come no sooner.
    assert figures["seconds"] > 0.3
    assert figures["itl_ms"]["p50"] > 4.5
    assert figures["ttft_ms"]["p50"] < figures["latency_ms"]["p50"]
    assert len({request.prompt_ids for request in engine.requests}) == 12


def test_bench_reports_refusals_and_fails(serve: Callable[..., LocalServer]) -> None:
    server = serve(ScriptedEngine([5] * 50, tokens_per_second=200), ServerSettings(max_running=1))
    ran = command("bench", server.url + "/v1", "--requests", "8", "--concurrency", "8")
    assert ran.returncode == 1
    assert "as many as it takes" in ran.stdout
    nobody = command("bench", f"http://127.0.0.1:{free_port()}")
    assert nobody.returncode == 1
    assert "cannot be reached" in nobody.stderr


def test_percentiles_are_those_of_the_samples() -> None:
    samples = [
        Sample(started=0.0, chunks=[n / 1000, n / 1000 + 0.5], ended=1.0, tokens=6)
        for n in range(1, 101)
    ]
    figures = summary(Load(model="m", requests=100, concurrency=1), samples)
    assert figures["ttft_ms"]["p50"] == pytest.approx(50.5)
    assert figures["ttft_ms"]["p99"] == pytest.approx(99.01)
    assert figures["itl_ms"]["mean"] == pytest.approx(100)
    assert figures["output_tokens_per_second"] == pytest.approx(600)
    assert "time to first token" in table(figures)


def test_chat_keeps_the_conversation_and_obeys_its_commands(
    serve: Callable[..., LocalServer], codec: Codec
) -> None:
    engine = ScriptedEngine([*codec.encode_text("A café."), codec.eot_id])
    server = serve(engine)
    ran = command(
        *("chat", server.url, "--condition", "GPT4"), text="Hi\nAgain\n/new\nThird\n/quit\nno\n"
    )
    assert (ran.returncode, ran.stdout) == (0, "A café.\n" * 3)
    lengths = [len(request.prompt_ids) for request in engine.requests]
    assert len(lengths) == 3
    assert lengths[1] > lengths[0] + 8
    assert abs(lengths[2] - lengths[0]) < 8


def test_an_error_ends_the_turn_and_not_the_conversation(
    serve: Callable[..., LocalServer],
) -> None:
    engine = ScriptedEngine()
    ran = command("chat", serve(engine).url, text="/condition Nobody\nHi\n/condition GPT4\nYo\n")
    assert ran.returncode == 0
    assert "Nobody" in ran.stderr
    assert len(engine.requests) == 1
