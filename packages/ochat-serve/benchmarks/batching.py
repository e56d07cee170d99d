"""How much several streams of the embedded engine gain from sharing forward passes.

    python benchmarks/batching.py [--streams 8 16] [--threads 1]

One model, one process: the same requests one after another, then at once, in turns; greedy
float32 answers have to be equal. CPU time is the process's own, so other programs disturb little.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from ochat_serve import SamplingParams
from ochat_serve.engine.transformers import TransformersEngine

ROUNDS = 3


def make_model(folder: Path) -> None:
    """A Llama of 4 layers and width 256 with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        # Large, so that answers differ and near ties are rare.
        initializer_range=0.3,
    )
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(folder)


async def answer(engine: TransformersEngine, number: int, tokens: int) -> list[int]:
    """A greedy answer; prompts have 40 to 100 tokens."""
    ids = [3 + (number * 37 + at * 11) % 4000 for at in range(40 + number * 7 % 60)]
    sampling = SamplingParams(temperature=0.0, max_tokens=tokens)
    found: list[int] = []
    async for event in engine.generate(ids, sampling, str(number)):
        found += event.token_ids
    return found


async def measure(engine: TransformersEngine, streams: int, tokens: int) -> dict[str, float]:
    """Medians of tokens a second, by wall clock and by CPU time, of both ways."""
    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        answers: dict[str, list[list[int]]] = {}
        for way in ("serial", "together"):
            wall, cpu = time.perf_counter(), time.process_time()
            if way == "serial":
                answers[way] = [await answer(engine, i, tokens) for i in range(streams)]
            else:
                asked = (answer(engine, i, tokens) for i in range(streams))
                answers[way] = list(await asyncio.gather(*asked))
            produced = streams * tokens
            rates.setdefault(way, []).append(produced / (time.perf_counter() - wall))
            rates.setdefault(f"{way} cpu", []).append(produced / (time.process_time() - cpu))
        if answers["serial"] != answers["together"]:
            raise SystemExit("the answers differ")
    return {name: statistics.median(each) for name, each in rates.items()}


async def run(folder: Path, streams: list[int], tokens: int, threads: int) -> None:
    """Measure and print."""
    engine = TransformersEngine(folder, max_model_len=2048, dtype="float32", threads=threads)
    await engine.start()
    await answer(engine, 0, 16)
    print("streams   serial tok/s   together tok/s   ratio   ratio by CPU time   answers")
    for count in streams:
        found = await measure(engine, count, tokens)
        ratio = found["together"] / found["serial"]
        by_cpu = found["together cpu"] / found["serial cpu"]
        print(
            f"{count:>7}{found['serial']:>15.0f}{found['together']:>17.0f}{ratio:>8.2f}"
            f"{by_cpu:>20.2f}   equal"
        )
    await engine.stop()


def main() -> None:
    """Make the model and measure it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        make_model(Path(place))
        asyncio.run(run(Path(place), arguments.streams, arguments.tokens, arguments.threads))


if __name__ == "__main__":
    main()
