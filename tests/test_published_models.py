"""Every model that OpenChat's tables of 2023 serve, by the command that they print.

The weights are toys of the model's architecture; the command, the template and the answer's way
through the server are real.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import openai
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTBigCodeConfig,
    GPTBigCodeForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)
from walking import wait_until_ready

from ochat_templates import Conversation, Message, get_template, load_codec
from ochat_templates.testing import train_sentencepiece

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


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_published_command_serves_its_model(name: str, tmp_path: Path) -> None:
    words = shlex.split(COMMANDS[name])
    template = words[words.index("--model-type") + 1]
    toy(template, tmp_path / words[words.index("--model") + 1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "notices").open("w") as notices:
        server = subprocess.Popen(
            [sys.executable, "-m", "ochat.serving.openai_api_server", *words, "--port", str(port)],
            cwd=tmp_path,
            env=os.environ,
            stderr=notices,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            reply = client.chat.completions.create(
                model=template,
                messages=[{"role": "user", "content": "Hello there"}],
                max_tokens=5,
                temperature=0,
            )
            assert template in {model.id for model in client.models.list()}
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
    codec = load_codec(tmp_path / words[words.index("--model") + 1], template)
    hello = Conversation(messages=(Message(role="user", content="Hello there"),))
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == len(codec.prompt(hello))
    assert 1 <= reply.usage.completion_tokens <= 5
    assert "--engine-use-ray" in (tmp_path / "notices").read_text()
