"""Every model that OpenChat's tables of 2023 serve, by the command that they print.

The weights are toys of the model's architecture; the command, the template and the answer's way
through the server are real.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
import torch
from openai.types.chat import ChatCompletion
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTBigCodeConfig,
    GPTBigCodeForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)
from walking import BIN, wait_until_ready

from ochat_templates import Conversation, Message, get_template, load_codec
from ochat_templates.testing import train_sentencepiece

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ["User: Hello there", "Assistant: How are you today?", "GPT4 GPT3 Human numbers 0123456789"]
# What the tables print after the module's name, with the model's published id.
COMMANDS = {
    "openchat_v3.2": "--model-type openchat_v3.2 --model openchat/openchat_v3.2 "
    "--engine-use-ray --worker-use-ray --max-num-batched-tokens 5120",
    "openchat_v3.1": "--model-type openchat_v3.1_llama2 --model openchat/openchat_v3.1 "
    "--engine-use-ray --worker-use-ray --max-num-batched-tokens 5120",
    "openchat_v2_w": "--model-type openchat_v2 --model openchat/openchat_v2_w "
    "--engine-use-ray --worker-use-ray",
    "openchat_v2": "--model-type openchat_v2 --model openchat/openchat_v2 "
    "--engine-use-ray --worker-use-ray",
    "openchat": "--model-type openchat --model openchat/openchat --engine-use-ray --worker-use-ray",
    "openchat_8192": "--model-type openchat_8192 --model openchat/openchat_8192 "
    "--engine-use-ray --worker-use-ray",
    "opencoderplus": "--model-type opencoder --model openchat/opencoderplus "
    "--engine-use-ray --worker-use-ray",
}


def byte_level(eot: str) -> Tokenizer:
    """A tokenizer of StarCoder's kind: byte-level pieces, and the end of turn as a special one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[eot],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def toy(template_name: str, folder: Path) -> None:
    """A model folder of the template's architecture and context, with random weights."""
    template = get_template(template_name)
    folder.mkdir(parents=True)
    coder = template.name == "opencoder"
    if coder:
        byte_level(template.eot).save(str(folder / "tokenizer.json"))
    else:
        train_sentencepiece(TEXTS * 30, folder / "tokenizer.model", vocab_size=300)
    codec = load_codec(folder, template.name)
    size = max(codec.eot_id + 1, codec.vocab_size)
    torch.manual_seed(0)
    model: PreTrainedModel
    if coder:
        model = GPTBigCodeForCausalLM(
            GPTBigCodeConfig(
                vocab_size=size,
                n_positions=template.context_length,
                n_embd=32,
                n_layer=2,
                n_head=2,
            )
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=template.context_length,
            )
        )
    model.save_pretrained(folder)


def table() -> dict[str, list[str]]:
    """The new command of each folder in the table of models."""
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    commands = [shlex.split(found) for found in re.findall(r"`(ochat-serve [^`]+ --[^`]+)`", page)]
    return {words[1]: words for words in commands}


@contextmanager
def serving(words: list[str], folder: Path, notices: Path) -> Iterator[openai.OpenAI]:
    """A client of the server that a command starts in a folder; the server must end with 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with notices.open("w") as output:
        server = subprocess.Popen([*words, "--port", str(port)], cwd=folder, stderr=output)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            yield client
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0


def answer(client: openai.OpenAI, template: str) -> ChatCompletion:
    """A short answer, as greedy decoding gives it."""
    assert template in {model.id for model in client.models.list()}
    return client.chat.completions.create(
        model=template,
        messages=[{"role": "user", "content": "Hello there"}],
        max_tokens=5,
        temperature=0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_model_is_served_by_its_published_command_and_by_the_new_one(
    name: str, tmp_path: Path
) -> None:
    words = shlex.split(COMMANDS[name])
    template = words[words.index("--model-type") + 1]
    place = tmp_path / words[words.index("--model") + 1]
    toy(template, place)
    published = [sys.executable, "-m", "ochat.serving.openai_api_server", *words]
    with serving(published, tmp_path, tmp_path / "notices") as client:
        before = answer(client, template)
    new = table()[name]
    assert new[new.index("--model-type") + 1] == template
    new[0] = str(BIN / new[0])
    # The table's folder is where the page's download command puts the model.
    with serving(new, place.parent, tmp_path / "new-notices") as client:
        after = answer(client, template)
    assert before.choices == after.choices
    codec = load_codec(place, template)
    hello = Conversation(messages=(Message(role="user", content="Hello there"),))
    assert before.usage is not None
    assert before.usage.prompt_tokens == len(codec.prompt(hello))
    assert 1 <= before.usage.completion_tokens <= 5
    assert "--engine-use-ray" in (tmp_path / "notices").read_text()


def test_the_table_has_every_model_that_was_published() -> None:
    assert set(COMMANDS) <= set(table())
