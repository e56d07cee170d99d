"""The embedded engine against the model's own forward pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from ochat_serve import EngineDeadError, EngineOptions, SamplingParams, SetupError, create_engine
from ochat_serve.engine.transformers import TransformersEngine

T = TypeVar("T")
CONTEXT = 256


def with_engine(folder: Path, use: Callable[[TransformersEngine], Awaitable[T]]) -> T:
    async def run() -> T:
        engine = TransformersEngine(folder, max_model_len=CONTEXT, threads=1)
        await engine.start()
        try:
            return await use(engine)
        finally:
            await engine.stop()

    return asyncio.run(run())


async def answer(
    engine: TransformersEngine, prompt: list[int], sampling: SamplingParams
) -> tuple[list[int], str | None]:
    ids: list[int] = []
    reason = None
    async for event in engine.generate(prompt, sampling, "r"):
        ids += event.token_ids
        reason = event.finish_reason
    return ids, reason


def prompts(count: int) -> list[list[int]]:
    """Different prompts of different lengths."""
    return [[1] + [3 + (i * 37 + j * 11) % 300 for j in range(3 + 7 * i)] for i in range(count)]


GREEDY = SamplingParams(temperature=0.0, max_tokens=24)


def test_greedy_tokens_are_those_of_full_forward_passes(model_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    expected: list[int] = []
    prompt = prompts(1)[0]
    with torch.inference_mode():
        for _ in range(GREEDY.max_tokens):
            logits = model(torch.tensor([prompt + expected])).logits[0, -1]
            expected.append(int(logits.argmax()))
    ids, reason = with_engine(model_folder, lambda engine: answer(engine, prompt, GREEDY))
    assert (ids, reason) == (expected, "length")


def test_a_request_gives_the_same_tokens_alone_and_among_others(model_folder: Path) -> None:
    sampled = SamplingParams(temperature=1.0, seed=11, max_tokens=24)
    cases = [(p, s) for p in prompts(6) for s in (GREEDY, sampled)]

    async def alone(engine: TransformersEngine) -> list[tuple[list[int], str | None]]:
        return [await answer(engine, *case) for case in cases]

    async def together(engine: TransformersEngine) -> list[tuple[list[int], str | None]]:
        return list(await asyncio.gather(*(answer(engine, *case) for case in cases)))

    assert with_engine(model_folder, together) == with_engine(model_folder, alone)


def test_a_long_prompt_computed_in_pieces_gives_the_same_tokens(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = (prompts(8)[0] * 8)[:100]
    whole = with_engine(model_folder, lambda engine: answer(engine, prompt, GREEDY))
    monkeypatch.setattr("ochat_serve.engine.decode._PROMPT_TOKENS", 7)
    pieces = with_engine(model_folder, lambda engine: answer(engine, prompt, GREEDY))
    assert pieces == whole


def test_generation_ends_at_a_stop_id_which_is_the_last_token(model_folder: Path) -> None:
    prompt = prompts(1)[0]
    free, _ = with_engine(model_folder, lambda engine: answer(engine, prompt, GREEDY))
    stop = free[5]
    sampling = SamplingParams(temperature=0.0, max_tokens=24, stop_ids=(stop,))
    ids, reason = with_engine(model_folder, lambda engine: answer(engine, prompt, sampling))
    assert (ids, reason) == (free[: free.index(stop) + 1], "stop")


def test_generation_ends_where_the_context_is_full(model_folder: Path) -> None:
    prompt = (prompts(8)[0] * 100)[: CONTEXT - 3]
    sampling = SamplingParams(temperature=0.0, max_tokens=100)
    ids, reason = with_engine(model_folder, lambda engine: answer(engine, prompt, sampling))
    assert (len(ids), reason) == (3, "length")


def test_aborted_requests_leave_the_engine_at_once(model_folder: Path) -> None:
    """Forty requests that would take seconds to the end."""

    async def first_token(engine: TransformersEngine) -> None:
        async with aclosing(engine.generate([1, 5, 9], SamplingParams(max_tokens=250), "r")) as it:
            await anext(it)

    async def use(engine: TransformersEngine) -> float:
        await asyncio.gather(*(first_token(engine) for _ in range(40)))
        began = time.monotonic()
        while engine.unfinished and time.monotonic() - began < 30:  # noqa: ASYNC110 (a thread's)
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    assert with_engine(model_folder, use) < 1.0


def test_stopping_ends_running_requests_with_an_error(model_folder: Path) -> None:
    async def use(engine: TransformersEngine) -> None:
        events = engine.generate([1, 5, 9], SamplingParams(max_tokens=250), "r")
        async with aclosing(events):
            await anext(events)
            await engine.stop()
            async for _ in events:
                pass

    with pytest.raises(EngineDeadError, match="stopped before"):
        with_engine(model_folder, use)


def test_weights_that_do_not_belong_to_the_config_are_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    for file in model_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(
        config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    engine = create_engine("transformers", tmp_path, EngineOptions(max_model_len=CONTEXT))
    with pytest.raises(SetupError, match="lack 9 tensors"):
        asyncio.run(engine.start())


def test_weights_that_are_no_safetensors_are_refused_in_one_sentence(
    model_folder: Path, tmp_path: Path
) -> None:
    for file in model_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not a checkpoint")
    engine = create_engine("transformers", tmp_path, EngineOptions(max_model_len=CONTEXT))
    with pytest.raises(SetupError, match="cannot be loaded") as caught:
        asyncio.run(engine.start())
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device exists here")
def test_a_device_that_is_not_there_is_named_with_its_option(model_folder: Path) -> None:
    options = EngineOptions(max_model_len=256, threads=1, device="cuda:7")
    engine = create_engine("transformers", model_folder, options)
    with pytest.raises(SetupError, match=r"device 'cuda:7' .* --device"):
        asyncio.run(engine.start())
