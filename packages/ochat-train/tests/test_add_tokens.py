"""Adding control tokens to a base model: ids, rows at the mean, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from ochat_templates import TokenizerError, convert_sentencepiece, load_codec
from ochat_templates.testing import train_sentencepiece
from ochat_train.__main__ import main

EOT = "<|end_of_turn|>"
TEXTS = ["A base model knows words but no turns, so far."] * 30


def base_model(folder: Path, *, tied: bool, padding: int = 0, json_file: bool = True) -> int:
    """Writes a toy base model without an end-of-turn token; returns its vocabulary's size."""
    folder.mkdir()
    model_file = train_sentencepiece(TEXTS, folder / "tokenizer.model", vocab_size=290)
    tokenizer = convert_sentencepiece(model_file, ())
    if json_file:
        tokenizer.save(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size + padding,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return size


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("padding", [0, 6])
def test_the_new_row_is_the_mean_of_the_real_ones_and_the_rest_is_untouched(
    tied: bool, padding: int, tmp_path: Path
) -> None:
    size = base_model(tmp_path / "base", tied=tied, padding=padding)
    arguments = ["add-tokens", "--model", str(tmp_path / "base"), "--tokens", EOT]
    assert main([*arguments, "--output", str(tmp_path / "grown")]) == 0
    before = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "grown")
    for old, new in (
        (before.get_input_embeddings().weight, after.get_input_embeddings().weight),
        (before.get_output_embeddings().weight, after.get_output_embeddings().weight),
    ):
        assert new.shape[0] == max(size + 1, size + padding)
        assert torch.equal(new[:size], old[:size])
        assert torch.allclose(new[size], old[:size].mean(0), atol=1e-7)
    assert load_codec(tmp_path / "grown", "openchat_v3.2").eot_id == size


def test_a_folder_with_only_a_sentencepiece_model_gets_a_tokenizer_json(tmp_path: Path) -> None:
    size = base_model(tmp_path / "base", tied=True, json_file=False)
    arguments = ["add-tokens", "--model", str(tmp_path / "base"), "--tokens", EOT, "<|pad|>"]
    assert main([*arguments, "--output", str(tmp_path / "grown")]) == 0
    codec = load_codec(tmp_path / "grown" / "tokenizer.json", "openchat_v3.2")
    assert codec.control_ids["<|pad|>"] == size + 1


def test_the_command_is_the_remedy_that_the_refusal_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base_model(tmp_path / "base", tied=True)
    with pytest.raises(TokenizerError) as refusal:
        load_codec(tmp_path / "base", "openchat_v3.2")
    words = str(refusal.value).split("ochat-train ")[1].replace("'", "").split()
    words[words.index("NEW_FOLDER")] = str(tmp_path / "grown")
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"{EOT}\t")
    load_codec(tmp_path / "grown", "openchat_v3.2")


@pytest.mark.parametrize(
    ("spoil", "tokens", "said"),
    [
        ("nothing", ["<s>"], "'<s>' is in the vocabulary already"),
        ("nothing", [EOT, EOT], "give each token once"),
        ("tokenizer", [EOT], "has neither tokenizer.json nor tokenizer.model"),
        ("json", [EOT], "is no tokenizer file"),
        ("encoding", [EOT], "is no tokenizer file"),
        ("weights", [EOT], "no weights"),
        ("output", [EOT], "is not empty"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    spoil: str,
    tokens: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, output = tmp_path / "base", tmp_path / "grown"
    base_model(base, tied=True)
    if spoil == "tokenizer":
        (base / "tokenizer.json").unlink()
        (base / "tokenizer.model").unlink()
    elif spoil == "json":
        (base / "tokenizer.json").write_text("{}")
    elif spoil == "encoding":
        (base / "tokenizer.json").write_bytes(b'{"\xff": 1}')
    elif spoil == "weights":
        (base / "model.safetensors").unlink()
    elif spoil == "output":
        shutil.copytree(base, output)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["add-tokens", "--model", str(base), "--output", str(output), "--tokens", *tokens]
    assert main(arguments) == 1
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
