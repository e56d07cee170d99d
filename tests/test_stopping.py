"""A base model without an end-of-turn token, taken through the commands, stops where it should."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import openai
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from walking import BIN, command, wait_until_ready

from ochat_templates import Conversation, Message, convert_sentencepiece, load_codec
from ochat_templates.testing import train_sentencepiece

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
CHATS = {f"Count to {word}.": " ".join(NUMBERS[: n + 1]) for n, word in enumerate(NUMBERS)}


def base_model(folder: Path) -> None:
    """A base model as one finds it: weights and tokenizer, and no word for the end of a turn."""
    folder.mkdir()
    texts = [f"{question} {answer}" for question, answer in CHATS.items()] * 20
    model_file = train_sentencepiece(texts, folder / "tokenizer.model", vocab_size=310)
    tokenizer = convert_sentencepiece(model_file, ())
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def test_a_base_model_is_given_its_token_trained_and_stops_everywhere(tmp_path: Path) -> None:
    base, grown, data, run = (tmp_path / name for name in ("base", "grown", "data", "run"))
    base_model(base)
    chats = tmp_path / "chats.jsonl"
    rows = [{"instruction": q, "output": a} for q, a in CHATS.items()]
    chats.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command("ochat-data", "import", chats, "--output", tmp_path / "records.jsonl")
    tokenize = ("ochat-data", "tokenize", tmp_path / "records.jsonl", "--template", "openchat_v3.2")
    refused = subprocess.run(
        [BIN / tokenize[0], *map(str, tokenize[1:]), "--tokenizer", base, "--output", data],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    words = refused.stderr.split("ochat-train ")[1].split("\n")[0].replace("'", "").split()
    words[words.index("NEW_FOLDER")] = str(grown)
    command("ochat-train", *words)

    command(*tokenize, "--tokenizer", grown, "--output", data)
    command("ochat-train", "run", "--model", grown, "--data", data, "--output", run, "--epochs",
            "60", "--lr", "5e-3", "--eps", "1e-8", "--threads", "1", "--quiet")  # fmt: skip

    # Plain Transformers, by the generation config that was written.
    codec = load_codec(run / "model", "openchat_v3.2")
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(run / "model")
    for question, answer in CHATS.items():
        messages = (Message(role="user", content=question),)
        prompt = codec.prompt(Conversation(messages=messages, condition="GPT4"))
        output = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=60)
        ids = output[0, len(prompt) :].tolist()
        assert ids[-1] == codec.eot_id == tokenizer.eos_token_id
        assert codec.decode(ids[:-1]).strip() == answer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [BIN / "ochat-serve", run / "model", "--port", str(port), "--engine", "transformers"]
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        address = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
            for question, answer in CHATS.items():
                reply = client.chat.completions.create(
                    model="openchat_v3.2",
                    messages=[{"role": "user", "content": question}],
                    temperature=0,
                )
                assert reply.choices[0].message.content == answer
                assert reply.choices[0].finish_reason == "stop"
    finally:
        server.terminate()
        server.wait(timeout=30)
