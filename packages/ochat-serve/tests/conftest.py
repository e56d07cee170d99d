"""Fixtures of this package's tests: a toy model folder, real servers, the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from ochat_serve import (
    Engine,
    EngineOptions,
    ScriptedEngine,
    ServedModel,
    ServerSettings,
    build_app,
    create_engine,
    open_model_folder,
)
from ochat_serve.engine.vocabulary import Vocabulary
from ochat_serve.testing import LocalServer, local_server
from ochat_templates import Codec, ModelCard, load_codec
from ochat_templates.testing import train_sentencepiece

TEXTS = [
    "The quick brown fox jumps over the lazy dog, twice on Sundays.",
    "GPT4 User: how many tokens are in this sentence? GPT4 Assistant: a few.",
    "Numbers such as 1, 2, 3, 12 and 345 are split into digits.",
    "A café in Zürich serves naïve customers; 你好 is a greeting, and so is hello.",
    "Write a function that adds two numbers:\n    return a + b\n",
]


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_sentencepiece(
        TEXTS * 4, tmp_path_factory.mktemp("tokenizer") / "tokenizer.model", vocab_size=400
    )


@pytest.fixture(scope="session")
def codec(tokenizer_file: Path) -> Codec:
    return load_codec(tokenizer_file, "openchat_v3.2")


@pytest.fixture(scope="session")
def model_folder(tokenizer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of toy size with random weights, as the trainer would export it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "toy-llama"
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(tokenizer_file.read_bytes())
    codec = load_codec(folder, "openchat_v3.2")
    config = LlamaConfig(
        vocab_size=codec.vocab_size,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        # Large, so that the best tokens lie far apart and the answers differ.
        initializer_range=0.6,
    )
    torch.manual_seed(7)
    LlamaForCausalLM(config).save_pretrained(folder)
    ModelCard(model_type="openchat_v3.2", context_length=256, fingerprint=codec.fingerprint).write(
        folder
    )
    return folder


@pytest.fixture
def serve(codec: Codec) -> Iterator[Callable[..., LocalServer]]:
    """Start servers; they are stopped after the test."""
    with ExitStack() as stack:

        def start(
            engine: Engine | None = None,
            settings: ServerSettings | None = None,
            served: Codec = codec,
        ) -> LocalServer:
            engine = engine or ScriptedEngine()
            app = build_app(engine, ServedModel.of(served, "toy"), settings)
            return stack.enter_context(local_server(app, engine))

        yield start


@pytest.fixture(scope="session")
def toy_server(model_folder: Path) -> Iterator[LocalServer]:
    """The toy model on the Transformers engine, behind HTTP."""
    folder = open_model_folder(model_folder)
    vocabulary = Vocabulary.of(folder.model.codec)
    options = EngineOptions(max_model_len=folder.max_model_len, threads=1, vocabulary=vocabulary)
    engine = create_engine("transformers", folder.path, options)
    with local_server(build_app(engine, folder.model), engine) as server:
        yield server


@pytest.fixture(scope="session")
def connect() -> Iterator[Callable[..., openai.OpenAI]]:
    """Official clients; closed at the end, or their sockets would be reported as leaks."""
    clients: list[openai.OpenAI] = []

    def make(server: LocalServer, key: str = "none") -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=60)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
