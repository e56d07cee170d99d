"""Requests that share forward passes: each gives what it would give alone, bit for bit."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from ochat_serve import EngineError, SamplingParams
from ochat_serve.engine.adapters import Adapter
from ochat_serve.engine.packed import PackedCache, PackedRunner
from ochat_serve.engine.runner import AloneRunner, AnyRunner, Piece, choose_runner
from ochat_serve.engine.transformers import TransformersEngine

CONTEXT = 256
Make = Callable[[], PreTrainedModel]


def small(name: str, **more: object) -> Make:
    """A model of an architecture with two layers and random weights."""

    def make() -> PreTrainedModel:
        torch.manual_seed(3)
        sizes: dict[str, object] = {
            "vocab_size": 320,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "initializer_range": 0.5,
        }
        config: PretrainedConfig = getattr(transformers, f"{name}Config")(**{**sizes, **more})
        # Not the wide default of each architecture, or the smallest model would have 256 each.
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()

    return make


PACKED = {
    "Llama": small("Llama"),
    "Mistral with a window of 8": small("Mistral", sliding_window=8),
    "Qwen3": small("Qwen3", head_dim=16),
    "Gemma3, windows in some layers": small(
        "Gemma3Text",
        head_dim=16,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "GPT2, learned positions": small(
        "GPT2", n_embd=64, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2
    ),
}
ALONE = {
    "Gemma2, capped scores": small("Gemma2", head_dim=16, attn_logit_softcapping=5.0),
    "Bloom, biased scores": small("Bloom", n_head=4, n_layer=2),
    "Llama, positions stretched by the longest": small(
        "Llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    ),
    "Lfm2, layers that are no attention": small(
        "Lfm2", layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False
    ),
}


def prompts(count: int) -> list[list[int]]:
    return [[3 + (i * 37 + j * 11) % 300 for j in range(2 + 5 * i)] for i in range(count)]


@torch.inference_mode()
def greedy(runner: AnyRunner, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """Greedy answers, all in each forward pass; a prompt of more than 16 tokens in two pieces."""
    caches = [runner.new_cache() for _ in prompts]
    runner.forward([Piece(p[:16], c) for p, c in zip(prompts, caches, strict=True) if p[16:]])
    rest = [p[16:] or p for p in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    for _ in range(tokens):
        pieces = [Piece(ids, cache) for ids, cache in zip(rest, caches, strict=True)]
        rest = [[int(logits[-1].argmax())] for logits in runner.forward(pieces)]
        answers = [[*answer, *ids] for answer, ids in zip(answers, rest, strict=True)]
    return answers


@pytest.mark.parametrize("name", PACKED)
def test_requests_in_one_pass_give_what_the_model_gives_for_each(name: str) -> None:
    model = PACKED[name]()
    expected = greedy(AloneRunner(model), prompts(5), 12)
    runner = choose_runner(model, threads=1)
    assert isinstance(runner, PackedRunner)
    assert greedy(runner, prompts(5), 12) == expected


def test_keys_and_values_that_outgrow_their_room_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = choose_runner(PACKED["Llama"](), threads=1)
    expected = greedy(runner, prompts(4), 30)
    monkeypatch.setattr("ochat_serve.engine.packed._FIRST_TOKENS", 2)
    assert greedy(runner, prompts(4), 30) == expected


@pytest.mark.parametrize("name", ALONE)
def test_a_model_that_cannot_be_packed_answers_each_alone(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = ALONE[name]()
    before = model.config._attn_implementation
    with caplog.at_level(logging.WARNING):
        runner = choose_runner(model, threads=1)
    assert isinstance(runner, AloneRunner)
    assert model.config._attn_implementation == before
    together = greedy(runner, prompts(3), 6)
    assert together == [greedy(runner, [p], 6)[0] for p in prompts(3)]


def test_a_model_whose_packed_numbers_differ_is_found_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one would that hides something from its attention function."""
    forward = PackedRunner.forward

    def off(runner: PackedRunner, pieces: Sequence[Piece[PackedCache]]) -> list[torch.Tensor]:
        return [logits * 1.01 for logits in forward(runner, pieces)]

    monkeypatch.setattr(PackedRunner, "forward", off)
    assert isinstance(choose_runner(PACKED["Llama"](), threads=1), AloneRunner)
    assert "its numbers differ" in caplog.text


@torch.inference_mode()
def test_the_logits_of_a_request_are_the_same_bits_in_any_company() -> None:
    runner = choose_runner(PACKED["Llama"](), threads=1)

    def logits(companions: int) -> list[torch.Tensor]:
        """Of the first of some requests, at each step; the others come and go."""
        mine = runner.new_cache()
        seen = runner.forward([Piece(prompts(1)[0], mine, every=True)])
        others = [runner.new_cache() for _ in range(companions)]
        for step, (ids, cache) in enumerate(zip(prompts(companions), others, strict=True)):
            company = [Piece(ids, cache), *(Piece([9 + step], each) for each in others[:step])]
            at = step % (len(company) + 1)
            found = runner.forward([*company[:at], Piece([7 + step], mine), *company[at:]])
            seen.append(found[at])
        return seen

    alone_cache = runner.new_cache()
    alone = runner.forward([Piece(prompts(1)[0], alone_cache, every=True)])
    alone += [runner.forward([Piece([7 + step], alone_cache)])[0] for step in range(11)]
    for mine, expected in zip(logits(11), alone, strict=True):
        assert torch.equal(mine, expected)


async def answer(engine: TransformersEngine, ids: list[int], sampling: SamplingParams) -> list[int]:
    found: list[int] = []
    async for event in engine.generate(ids, sampling, "r"):
        found += event.token_ids
    return found


def with_engine(folder: Path, use: Callable[[TransformersEngine], object]) -> None:
    async def run() -> None:
        engine = TransformersEngine(folder, max_model_len=CONTEXT, dtype="float32", threads=1)
        await engine.start()
        try:
            await use(engine)  # pyrefly: ignore[not-async]
        finally:
            await engine.stop()

    asyncio.run(run())


def test_requests_that_join_and_leave_change_no_other_answer(model_folder: Path) -> None:
    """Each begins when the one before has some tokens; every third is given up half way."""
    cases = [
        (ids, SamplingParams(temperature=0.0 if i % 2 else 1.0, seed=i, max_tokens=12 + 5 * i))
        for i, ids in enumerate(prompts(9))
    ]

    async def use(engine: TransformersEngine) -> None:
        alone = [await answer(engine, *case) for case in cases]
        began = [asyncio.Event() for _ in cases]

        async def join(number: int) -> list[int]:
            if number:
                await began[number - 1].wait()
            found: list[int] = []
            ids, sampling = cases[number]
            async with aclosing(engine.generate(ids, sampling, str(number))) as events:
                async for event in events:
                    found += event.token_ids
                    if len(found) >= 4:
                        began[number].set()
                    if number % 3 == 2 and len(found) >= 6:
                        break
            return found

        together = await asyncio.gather(*map(join, range(len(cases))))
        for number, (mine, expected) in enumerate(zip(together, alone, strict=True)):
            assert mine == (expected[: len(mine)] if number % 3 == 2 else expected)
        assert [len(each) for each in together[2::3]] == [6, 6, 6]

    with_engine(model_folder, use)


def test_a_request_that_fails_takes_no_other_along(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model fails whenever the token 77 is read, in whatever company."""
    forward = PackedRunner.forward

    def failing(runner: PackedRunner, pieces: Sequence[Piece[PackedCache]]) -> list[torch.Tensor]:
        if any(77 in piece.ids for piece in pieces):
            raise RuntimeError("out of memory")
        return forward(runner, pieces)

    sampling = SamplingParams(temperature=0.0, max_tokens=9)
    good = [[5, 6, 7], [8, 9]]

    async def use(engine: TransformersEngine) -> None:
        alone = [await answer(engine, ids, sampling) for ids in good]
        monkeypatch.setattr(PackedRunner, "forward", failing)
        bad = asyncio.ensure_future(answer(engine, [5, 77], sampling))
        together = await asyncio.gather(*(answer(engine, ids, sampling) for ids in good))
        assert together == alone
        with pytest.raises(EngineError, match="on this request: out of memory"):
            await bad
        assert not engine.unfinished

    with_engine(model_folder, use)


def test_long_prompts_wait_their_turn_and_nobody_is_forgotten(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = SamplingParams(temperature=0.0, max_tokens=5, prompt_logprobs=1)

    async def use(engine: TransformersEngine) -> None:
        long = [(ids * 40)[: 90 + i] for i, ids in enumerate(prompts(4))]
        monkeypatch.setattr("ochat_serve.engine.decode._PROMPT_TOKENS", 64)
        alone = [await answer(engine, ids, sampling) for ids in long]
        assert await asyncio.gather(*(answer(engine, ids, sampling) for ids in long)) == alone

    with_engine(model_folder, use)


@pytest.fixture(scope="module")
def adapters(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Adapter, ...]:
    """Two LoRA adapters of the toy model, with random weights."""
    peft = pytest.importorskip("peft")
    made: list[Adapter] = []
    for number in range(2):
        model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        config = peft.LoraConfig(
            r=8,
            target_modules=["q_proj", "up_proj"],
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        torch.manual_seed(number)
        folder = tmp_path_factory.mktemp("adapters") / str(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of peft's use of transformers
            peft.get_peft_model(model, config).save_pretrained(folder)
        made.append(Adapter(name=f"a{number}", folder=folder, rank=8))
    return tuple(made)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*")  # of peft's use of it
def test_adapters_and_their_base_answer_at_once_as_alone(
    model_folder: Path, adapters: tuple[Adapter, ...]
) -> None:
    names = ["", adapters[0].name, adapters[1].name] * 2
    cases = [
        (ids, SamplingParams(temperature=0.0, max_tokens=16, adapter=name))
        for ids, name in zip([prompts(4)[3]] * 3 + [prompts(2)[1]] * 3, names, strict=True)
    ]

    async def run() -> None:
        engine = TransformersEngine(
            model_folder, max_model_len=CONTEXT, dtype="float32", threads=1, adapters=adapters
        )
        await engine.start()
        try:
            alone = [await answer(engine, *case) for case in cases]
            # The three weights give three answers, or the test would show nothing.
            assert len({tuple(ids) for ids in alone[:3]}) == 3
            assert await asyncio.gather(*(answer(engine, *case) for case in cases)) == alone
        finally:
            await engine.stop()

    asyncio.run(run())
