"""What the cross-package tests share: the demo's walk on a tiny size, made once by the commands."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from walking import BIN, Walk, command, wait_until_ready

from ochat_data import sample_files
from ochat_templates.testing import train_sentencepiece

TEMPLATE = "openchat_v3.2"
CONVERSATIONS = 150  # of each source
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The training half of the demo's walk, on 300 conversations and a model of 50 thousand."""
    work = tmp_path_factory.mktemp("walk")
    raw: list[Path] = []
    for file in sample_files():
        raw.append(work / file.name)
        few = json.loads(file.read_text(encoding="utf-8"))[:CONVERSATIONS]
        raw[-1].write_text(json.dumps(few), encoding="utf-8")
    imported, clean, labelled = (work / f"{n}.jsonl" for n in ("imported", "clean", "labelled"))
    command("ochat-data", "import", *raw, "--output", imported)
    command("ochat-data", "clean", imported, "--output", clean)
    command("ochat-data", "label", clean, "--output", labelled, "--map", "gpt-4=GPT4",
            "--map", "gpt-3.5-turbo=GPT3", "--weights", "crlft-0.1")  # fmt: skip
    base, dataset, output = (work / name for name in ("base", "dataset", "training"))
    base.mkdir()
    lines = labelled.read_text(encoding="utf-8").splitlines()
    texts = [item["content"] for line in lines for item in json.loads(line)["items"]]
    train_sentencepiece(texts, base / "tokenizer.model", vocab_size=500)
    command("ochat-data", "tokenize", labelled, "--template", TEMPLATE, "--tokenizer", base,
            "--output", dataset, "--eval-fraction", "0.1")  # fmt: skip
    vocabulary = json.loads((dataset / "manifest.json").read_text())["vocab_size"]
    (base / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": vocabulary}))
    command("ochat-train", "run", "--model", base, "--data", dataset, "--output", output,
            "--from-scratch", "--epochs", "1", "--lr", "3e-3", "--threads", "1")  # fmt: skip
    return Walk(raw=raw, labelled=labelled, base=base, dataset=dataset, model=output / "model")


@pytest.fixture(scope="session")
def server(walk: Walk) -> Iterator[str]:
    """The walk's model behind a real server process; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [BIN / "ochat-serve", str(walk.model), "--port", str(port), "--engine", "transformers"]
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
