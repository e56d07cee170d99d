"""Front-end cost and speed against vLLM's own Python server: same engine, model, load and cores.

    python benchmarks/against_vllm.py [--streams 1 16 64] [--tokens 128]

Needs vLLM (the CPU build will do) and at least two cores: engine processes are pinned to the first,
the server's process and the client to the second, since an engine that spins would otherwise starve
the server and the figures would be about the scheduler. "Front CPU" is user and system time of the
process that speaks HTTP, for each output token.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from ochat_serve.guard import descendants
from ochat_templates import ModelCard, load_codec
from ochat_templates.testing import train_sentencepiece

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = "openchat_v3.2"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}GPT4 User: {{ m['content'] }}{% endfor %}GPT4 Assistant:"
)
START_SECONDS = 240
TICKS = os.sysconf("SC_CLK_TCK")
ENGINE = ["--enforce-eager", "--max-num-seqs", "64", "--dtype", "bfloat16"]
TEXTS = [
    "The quick brown fox jumps over the lazy dog, twice on Sundays; 0 1 2 3 4 5 6 7 8 9.",
    "river stone window letter garden music winter bridge market paper silver forest answer",
    "summer mirror engine harbour village story candle. GPT4 User: GPT4 Assistant: hello!",
]


def make_model(folder: Path) -> None:
    """A Llama of 4 layers and width 256 with random weights, as facts were measured on."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    train_sentencepiece(TEXTS * 8, folder / "tokenizer.model", vocab_size=330)
    codec = load_codec(folder, TEMPLATE)
    config = LlamaConfig(
        vocab_size=codec.vocab_size,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(folder)
    card = ModelCard(model_type=TEMPLATE, context_length=2048, fingerprint=codec.fingerprint)
    card.write(folder)
    (folder / "chat.jinja").write_text(CHAT_TEMPLATE)


def sides(folder: Path, port: int) -> dict[str, list[str]]:
    """The servers; each command's last words are its own."""
    ours = [sys.executable, "-m", "ochat_serve", str(folder), "--engine", "vllm"]
    ours += ["--port", str(port), "--max-model-len", "2048", *ENGINE]
    theirs = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    theirs += ["--port", str(port), "--host", "127.0.0.1", "--max-model-len", "2048", *ENGINE]
    theirs += ["--chat-template", str(folder / "chat.jinja")]
    return {
        "vllm, as shipped": theirs,
        "vllm, no stats": [*theirs, "--disable-log-stats"],
        "ours, token by token": [*ours, "--stream-period", "1"],
        "ours, as shipped": ours,
        "ours, engine statistics": [*ours, "--engine-stats"],
    }


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[int]:
    """A server on its cores; gives its process id."""
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 (this script's own command)
            command, env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[2]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.5)
        for pid in descendants(server.pid):
            _pin(pid, 0)
        _pin(server.pid, 1)
        yield server.pid
    finally:
        server.terminate()
        server.wait(60)


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


def _pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def cpu_seconds(pid: int) -> float:
    """User and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(port: int, streams: int, requests: int, tokens: int) -> dict[str, Any]:
    """One run of `ochat-serve bench`, pinned to the server's core."""
    command = [sys.executable, "-m", "ochat_serve", "bench", f"http://127.0.0.1:{port}"]
    command += ["--requests", str(requests), "--concurrency", str(streams), "--ignore-eos"]
    command += ["--max-tokens", str(tokens), "--json"]
    command = ["/usr/bin/taskset", "-c", "1", *command]
    ran = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if ran.returncode:
        raise SystemExit(f"the load failed: {ran.stdout[-500:]} {ran.stderr[-500:]}")
    return json.loads(ran.stdout)


def measure(pid: int, port: int, streams: int, tokens: int, rounds: int) -> dict[str, float]:
    """Warm up, then load in rounds; the front's CPU is over all, the others are medians."""
    requests = max(8, streams * 2)
    load(port, streams, streams, 32)
    before = cpu_seconds(pid)
    runs = [load(port, streams, requests, tokens) for _ in range(rounds)]
    used = cpu_seconds(pid) - before
    produced = sum(run["output_tokens"] for run in runs)
    return {
        "tok/s": median(run["output_tokens_per_second"] for run in runs),
        "ttft_ms": median(run["ttft_ms"]["p50"] for run in runs),
        "front_us": 1e6 * used / produced,
    }


def main() -> None:
    """Measure all sides and print the ratios to vLLM as shipped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", help="part of a side's name")
    parser.add_argument("--offline", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.offline:
        offline(Path(arguments.offline), arguments.streams, arguments.tokens, arguments.rounds)
        return
    with tempfile.TemporaryDirectory() as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        folder = Path(place) / "toy"
        folder.mkdir()
        make_model(folder)
        results: dict[str, dict[int, dict[str, float]]] = {}
        for name, command in sides(folder, port).items():
            if arguments.sides and not any(part in name for part in arguments.sides):
                continue
            with running(command, port, Path(place) / "log") as pid:
                results[name] = {
                    streams: measure(pid, port, streams, arguments.tokens, arguments.rounds)
                    for streams in arguments.streams
                }
                print(name, results[name], file=sys.stderr, flush=True)
        if not arguments.sides or "offline" in arguments.sides:
            results["LLM.generate, offline"] = measure_offline(folder, arguments)
    report(results, arguments.streams)


def offline(folder: Path, streams: list[int], tokens: int, rounds: int) -> None:
    """Tokens a second of `LLM.generate`, without any server: run as a process of its own."""
    # pyrefly: ignore[missing-import]
    from vllm import LLM, SamplingParams

    # pyrefly: ignore[missing-import]
    from vllm.inputs import tokens_input

    codec = load_codec(folder, TEMPLATE)
    prompt = codec.encode_text("river stone window letter garden music " * 4)
    llm = LLM(
        str(folder),
        dtype="bfloat16",
        enforce_eager=True,
        max_num_seqs=64,
        max_model_len=2048,
        skip_tokenizer_init=True,
    )
    for pid in descendants(os.getpid()):
        _pin(pid, 0)
    _pin(os.getpid(), 1)
    sampling = SamplingParams(max_tokens=tokens, ignore_eos=True, detokenize=False)
    for count in streams:
        rates: list[float] = []
        for each in range(rounds + 1):
            # Another beginning each, or a cached prefix would be all of the prompt.
            prompts = [tokens_input([1 + (each * count + i) % 300, *prompt]) for i in range(count)]
            began = time.perf_counter()
            llm.generate(prompts, sampling, use_tqdm=False)
            rates.append(count * tokens / (time.perf_counter() - began))
        print(json.dumps({"streams": count, "tok/s": median(rates[1:])}), flush=True)


def measure_offline(folder: Path, arguments: argparse.Namespace) -> dict[int, dict[str, float]]:
    """The same as a side of the comparison; it has no first token and no front."""
    command = [sys.executable, __file__, "--offline", str(folder), "--rounds"]
    command += [str(arguments.rounds), "--tokens", str(arguments.tokens), "--streams"]
    command += map(str, arguments.streams)
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603
    rows = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"streams"')]
    if ran.returncode or len(rows) != len(arguments.streams):
        raise SystemExit(f"LLM.generate failed: {ran.stderr[-2000:]}")
    nothing = float("nan")
    return {
        row["streams"]: {"tok/s": row["tok/s"], "ttft_ms": nothing, "front_us": nothing}
        for row in rows
    }


def report(results: dict[str, dict[int, dict[str, float]]], streams: list[int]) -> None:
    """One table a number of streams, ratios to the first side beside."""
    base = next(iter(results.values()))
    for count in streams:
        print(f"\n{count} streams{'':<16}{'tok/s':>16}{'TTFT ms':>16}{'front CPU us/token':>24}")
        for name, by_count in results.items():
            cells = [
                f"{by_count[count][key]:>9.1f} ({by_count[count][key] / base[count][key]:.2f})"
                for key in ("tok/s", "ttft_ms", "front_us")
            ]
            print(f"{name:<24}{cells[0]:>16}{cells[1]:>16}{cells[2]:>24}")


if __name__ == "__main__":
    main()
