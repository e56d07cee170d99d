from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ochat_data import Record, TokenizeOptions, write_token_dataset
from ochat_templates import Conversation, Message, load_codec
from ochat_templates.testing import train_sentencepiece
from ochat_train import TrainConfig

TEMPLATE = "openchat_v3.2"
SHAPE = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
# What an architecture needs besides SHAPE; windows are smaller than the tests' sequences.
EXTRA: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 6},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "gpt_bigcode": {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 6},
    "gpt_oss": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 6,
    },
    "cohere": {"num_key_value_heads": 2, "logit_scale": 0.25},
    "stablelm": {"num_key_value_heads": 2},
    "nemotron": {"num_key_value_heads": 2},
    "minimax": {"num_key_value_heads": 2, "head_dim": 8},
    "phi": {"num_key_value_heads": 4},
    "gemma": {"num_key_value_heads": 2, "head_dim": 8},
    "granite": {"num_key_value_heads": 2, "logits_scaling": 4.0},
}

MakeModel = Callable[..., PreTrainedModel]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Toy tensors gain nothing from threads, and on a busy machine threads wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """`make_model("llama", attention="eager", **config)`: a toy model, the same every time."""

    def make(
        kind: str,
        attention: str | None = None,
        dtype: torch.dtype = torch.float32,
        spread: float = 4.0,
        **more: Any,
    ) -> PreTrainedModel:
        control = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        config = AutoConfig.for_model(kind, **{**SHAPE, **control, **EXTRA.get(kind, {}), **more})
        torch.manual_seed(0)
        chosen: dict[str, str] = {} if attention is None else {"attn_implementation": attention}
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, **chosen)
        # Initialisation at 0.02 makes attention nearly uniform; larger weights make errors show.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim >= 2:
                    parameter.mul_(spread)
        return model.eval()

    return make


def _records() -> list[Record]:
    draw = random.Random(0)  # noqa: S311 - test data
    records: list[Record] = []
    for index in range(60):
        good = index % 2 == 0
        messages: list[Message] = []
        for _ in range(draw.randint(1, 3)):
            left, right = draw.randint(0, 9), draw.randint(0, 9)
            answer = left + right if good else draw.randint(0, 18)
            messages.append(Message(role="user", content=f"What is {left} plus {right}?"))
            messages.append(
                Message(
                    role="assistant",
                    content=f"{left} plus {right} is {answer}.",
                    weight=1.0 if good else 0.1,
                )
            )
        conversation = Conversation(messages=tuple(messages), condition="GPT4" if good else "GPT3")
        records.append(Record.create(conversation, source=str(index)))
    return records


@pytest.fixture(scope="session")
def records() -> Callable[[], list[Record]]:
    """Makes the conversations of `dataset`."""
    return _records


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a real tokenizer and a config, but no weights."""
    folder = tmp_path_factory.mktemp("base")
    texts = [message.content for record in _records() for message in record.conversation.messages]
    train_sentencepiece(texts, folder / "tokenizer.model", vocab_size=300)
    vocabulary = load_codec(folder, TEMPLATE).vocab_size
    config = {
        **SHAPE,
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": vocabulary,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def dataset(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token dataset of sixty short conversations of two conditions, a fifth held out."""
    folder = tmp_path_factory.mktemp("data") / "tokens"
    codec = load_codec(base_model, TEMPLATE)
    options = TokenizeOptions(max_length=200, eval_fraction=0.2)
    write_token_dataset(folder, _records(), codec, options)
    return folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of ranks: one private folder for the extension that DeepSpeed compiles, for all tests."""
    folder = tmp_path_factory.mktemp("extensions")
    return {**os.environ, "TORCH_EXTENSIONS_DIR": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def config(base_model: Path, dataset: Path, tmp_path: Path) -> TrainConfig:
    """A run of one epoch from scratch, a few seconds long."""
    return TrainConfig(
        model=base_model,
        data=dataset,
        output=tmp_path / "run",
        from_scratch=True,
        epochs=1,
        lr=1e-2,
        batch_tokens=512,
        quiet=True,
    )
